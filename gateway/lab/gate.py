# SPDX-License-Identifier: Apache-2.0
"""The gate: whether a changed model may take the place of the one that it was made from.

Both have answered the same rows. The change has to be shown to cost less than a margin; a set that
is too small to show it refuses, and says how many rows it would take.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isinf
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
import numpy as np

from gateway.lab.harm import Calibrations, ClassHarm, calibration_change, class_harms
from gateway.statistics.intervals import mean_interval
from gateway.statistics.noninferiority import (
    harm_p_value,
    most_disagreement,
    p_value,
    rows_to_prove,
)

if TYPE_CHECKING:
    from gateway.lab.dataset import Task
    from gateway.wire.tensor import Array

Outcome: TypeAlias = Literal["same", "proven", "not proven", "harmed"]
# How much more than before the calibration error may be, at the lower end of its interval. A model
# whose stated probabilities are off by two points more is another one to whoever uses them.
MOST_ECE_RISE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of the rows of a set: *predicted* [n] or [n, labels], *scores* [n, C].

    *unlabelled* are predictions for rows that have no label.
    """

    predicted: Array
    scores: Array | None = None
    unlabelled: Array | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate says, and by what. Shares are of rows, from 0 to 1.

    "same": nothing changed. "proven": worse by less than *margin*, wrong with probability *alpha*
    at most. "harmed": shown to be worse, as a whole, in a class, or in its calibration. "not
    proven": neither. *before* and *after* are accuracies, or mean absolute errors of a regression.
    Of *rows* with a label *differ* have two answers; *lost* only the old model has right, *won*
    only the new one. *disagreement* is the most that the share of differing rows can be, with rows
    without a label counted too. *rows_needed* would prove it, if more rows were like these; null
    where no number would.
    """

    outcome: Outcome
    sentence: str
    margin: float
    alpha: float
    rows: int
    unlabelled: int = 0
    differ: int = 0
    lost: int = 0
    won: int = 0
    before: float | None = None
    after: float | None = None
    p_value: float | None = None
    disagreement: float | None = None
    rows_needed: int | None = None
    classes: list[ClassHarm] = []
    calibration: Calibrations | None = None

    @property
    def passed(self) -> bool:
        """Whether the change may be used."""
        return self.outcome in {"same", "proven"}


def judge(
    before: Answers,
    after: Answers,
    labels: Array | None,
    task: Task,
    *,
    margin: float,
    alpha: float = 0.05,
    same_model: bool = False,
) -> Verdict:
    """Hold the answers *after* a change to those *before*; *labels* are None where there are none.

    *margin* is in shares of all rows: 0.005 is half a point of accuracy; of a regression, it is
    relative to the mean absolute error. *same_model*: only how it is run was changed, so that equal
    predictions need no proof. Raises ValueError for a margin or an alpha outside (0, 1).
    """
    if not 0 < margin < 1 or not 0 < alpha < 1:
        raise ValueError(
            f"margin {margin:g}, alpha {alpha:g}: expected shares between 0 and 1, such as 0.01"
        )
    if task == "regression":
        return _regression(before, after, labels, margin, alpha, same_model=same_model)
    same = _same(before.predicted, after.predicted)
    strangers = np.zeros(0, bool)
    if before.unlabelled is not None and after.unlabelled is not None:
        strangers = _same(before.unlabelled, after.unlabelled)
    if labels is None:
        strangers, same = np.concatenate([same, strangers]), same[:0]
    every, differ = len(same) + len(strangers), int((~same).sum())
    # With two ways to prove it, each may err half as often.
    part = alpha / 2 if len(strangers) and len(same) else alpha
    bound = most_disagreement(differ + int((~strangers).sum()), every, alpha=part)
    known = Verdict(
        outcome="not proven", sentence="", margin=margin, alpha=alpha, rows=len(same),
        unlabelled=len(strangers), differ=differ, disagreement=bound,
    )  # fmt: skip
    unchanged = same_model and bool(same.all() and strangers.all())
    if labels is None:
        if unchanged:
            return msgspec.structs.replace(known, outcome="same", sentence=_equal(every))
        return _without_labels(known)
    first, second = _same(before.predicted, labels), _same(after.predicted, labels)
    if unchanged:
        share = float(first.mean()) if len(first) else None
        return msgspec.structs.replace(
            known, outcome="same", sentence=_equal(every), before=share, after=share
        )
    lost, won = int((first & ~second).sum()), int((~first & second).sum())
    found = msgspec.structs.replace(
        known,
        lost=lost,
        won=won,
        before=float(first.mean()) if len(first) else None,
        after=float(second.mean()) if len(second) else None,
        p_value=p_value(lost, won, len(same), margin=margin),
        rows_needed=_whole(rows_to_prove(lost, won, len(same), margin=margin, alpha=part)),
        classes=class_harms(labels, first, second, margin=margin, alpha=alpha)
        if task != "multilabel"
        else [],
        calibration=calibration_change(before.scores, after.scores, first, second, level=1 - alpha),
    )
    return _decided(found, part)


def _decided(found: Verdict, part: float) -> Verdict:
    harms = _harms(found)
    if harms:
        return msgspec.structs.replace(
            found, outcome="harmed", sentence=f"{_counts(found)}: {'; '.join(harms)}."
        )
    if (found.p_value is not None and found.p_value <= part) or _bounded(found):
        why = f"p = {found.p_value:.2g}"
        if _bounded(found):
            why = f"the two differ on at most {found.disagreement:.2%} of rows"
        return msgspec.structs.replace(
            found,
            outcome="proven",
            sentence=f"{_counts(found)}: worse by less than {found.margin:.2%} of rows ({why}).",
        )
    return msgspec.structs.replace(found, sentence=f"{_counts(found)}: {_unproven(found)}.")


def _harms(found: Verdict) -> list[str]:
    """What is shown to be worse."""
    said = []
    if found.rows and found.lost > found.won:
        above = harm_p_value(found.lost, found.won, found.rows, margin=found.margin)
        if above <= found.alpha:
            said.append(f"it is worse by more than {found.margin:.2%} of rows (p = {above:.2g})")
    said += [
        f"class {one.label} loses recall, {one.before:.3f} to {one.after:.3f} "
        f"(p = {one.p_value:.2g})"
        for one in found.classes
        if one.harmed
    ]
    change = found.calibration
    if change is not None and change.lower > MOST_ECE_RISE:
        said.append(
            f"its calibration error rises from {change.before:.3f} to {change.after:.3f}, by at "
            f"least {change.lower:.3f}"
        )
    return said


def _without_labels(known: Verdict) -> Verdict:
    counts = f"On {known.unlabelled} rows without labels the two differ on at most "
    counts += f"{known.disagreement:.2%}"
    if _bounded(known):
        return msgspec.structs.replace(
            known,
            outcome="proven",
            sentence=f"{counts}, so it is worse by less than {known.margin:.2%} of rows.",
        )
    least = _whole(rows_to_prove(0, 0, 0, margin=known.margin, alpha=known.alpha))
    return msgspec.structs.replace(
        known,
        rows_needed=least,
        sentence=f"{counts}, which does not show that it is worse by less than "
        f"{known.margin:.2%}; it takes {least} rows without any difference, or labels.",
    )


def _regression(
    before: Answers,
    after: Answers,
    labels: Array | None,
    margin: float,
    alpha: float,
    *,
    same_model: bool,
) -> Verdict:
    """Absolute errors, row by row: the upper end of the mean of their rise is below the margin."""
    rows = len(before.predicted)
    known = Verdict(
        outcome="not proven", sentence="", margin=margin, alpha=alpha, rows=rows,
        differ=int((before.predicted != after.predicted).sum()),
    )  # fmt: skip
    if same_model and not known.differ:
        return msgspec.structs.replace(known, outcome="same", sentence=_equal(rows))
    if labels is None:
        return msgspec.structs.replace(
            known, sentence="Numbers without labels prove nothing of their error; give labels."
        )
    first, second = np.abs(before.predicted - labels), np.abs(after.predicted - labels)
    rise = second - first
    old, change, spread = float(first.mean()), float(rise.mean()), float(rise.var(ddof=rows > 1))
    lower, upper = _ends(change, spread, rows, level=1 - 2 * alpha)
    allowed = margin * old
    counts = f"On {rows} rows the mean absolute error goes from {old:.4g} to {second.mean():.4g}"
    found = msgspec.structs.replace(known, before=old, after=float(second.mean()))
    if lower > allowed:
        outcome, why = "harmed", f"it is worse by more than {margin:.2%}"
    elif upper < allowed:
        outcome, why = "proven", f"worse by less than {margin:.2%} (at most {upper / old:.2%})"
    else:
        outcome = "not proven"
        why = f"this does not show that it is worse by less than {margin:.2%}"
    return msgspec.structs.replace(found, outcome=outcome, sentence=f"{counts}: {why}.")


def _ends(mean: float, variance: float, rows: int, *, level: float) -> tuple[float, float]:
    if rows < 2:
        return -inf, inf
    interval = mean_interval(mean, variance, rows, level=level)
    return interval.lower, interval.upper


def _same(first: Array, second: Array) -> Array:
    same: Array = np.equal(first, second)
    return np.asarray(same.all(axis=1)) if same.ndim == 2 else same


def _equal(rows: int) -> str:
    return f"The model is the same, and so are its predictions for all {rows} rows."


def _bounded(found: Verdict) -> bool:
    return found.disagreement is not None and found.disagreement < found.margin


def _counts(found: Verdict) -> str:
    return (
        f"On {found.rows} labelled rows the two differ on {found.differ}; {found.lost} are lost "
        f"and {found.won} won"
    )


def _unproven(found: Verdict) -> str:
    rows = f"these rows do not show that it is worse by less than {found.margin:.2%}"
    if found.rows_needed is None:
        return f"{rows}, and at this rate of losses no number would"
    return f"{rows}; it takes about {found.rows_needed} rows like these"


def _whole(number: float) -> int | None:
    return None if isinf(number) else int(number)
