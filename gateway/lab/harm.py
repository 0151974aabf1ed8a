# SPDX-License-Identifier: Apache-2.0
"""Harm: what a change may do to one class, or to stated probabilities, while accuracy stays.

Rounding weights hurts rare classes first, and moves scores before it moves the highest of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from gateway.statistics.noninferiority import harm_p_value
from gateway.statistics.score_figures import are_probabilities

if TYPE_CHECKING:
    from gateway.wire.tensor import Array

# Bins of the calibration error, as in `gateway.statistics.probability.Calibration`.
_BINS: Final = 15
# Resamples behind the interval of its change: its ends then move by a tenth of its width.
_RESAMPLES: Final = 400
_SEED: Final = 1


class ClassHarm(msgspec.Struct, frozen=True, kw_only=True):
    """Recall of one class *before* and *after*, over its *rows*.

    *p_value* is the chance of losses as clear as these where it loses the margin or less; *harmed*
    where it is below alpha divided by the number of classes.
    """

    label: int | str
    rows: int
    before: float
    after: float
    lost: int
    won: int
    p_value: float
    harmed: bool


class Calibrations(msgspec.Struct, frozen=True, kw_only=True):
    """The expected calibration error *before* and *after*, and where its change lies."""

    before: float
    after: float
    lower: float
    upper: float


def class_harms(
    labels: Array, first: Array, second: Array, *, margin: float, alpha: float
) -> list[ClassHarm]:
    """Each class of *labels* [n]; *first* and *second* [n] say which rows are right.

    The test is `harm_p_value`, at *alpha* over all classes together (C. E. Bonferroni, 1936).
    """
    names = np.unique(labels)
    found = []
    for name in names.tolist():
        rows = labels == name
        lost, won = int((rows & first & ~second).sum()), int((rows & ~first & second).sum())
        chance = harm_p_value(lost, won, int(rows.sum()), margin=margin)
        found.append(
            ClassHarm(
                label=name,
                rows=int(rows.sum()),
                before=float(first[rows].mean()),
                after=float(second[rows].mean()),
                lost=lost,
                won=won,
                p_value=chance,
                harmed=chance <= alpha / len(names),
            )
        )
    return found


def calibration_change(
    before: Array | None, after: Array | None, first: Array, second: Array, *, level: float
) -> Calibrations | None:
    """How the calibration error of scores [n, C] changes; None where they are not probabilities.

    *first* and *second* [n] say which rows are right. The interval is a bootstrap of rows, the
    same for both.
    """
    if before is None or after is None or len(before) < 2:
        return None
    if not are_probabilities(before) or not are_probabilities(after):
        return None
    stated = before.max(axis=1), after.max(axis=1)
    right = first.astype(np.float64), second.astype(np.float64)
    rows = len(before)
    random = np.random.default_rng(_SEED)
    changes = np.empty(_RESAMPLES)
    for place in range(_RESAMPLES):
        weight = np.bincount(random.integers(0, rows, rows), minlength=rows).astype(np.float64)
        changes[place] = _error(stated[1], right[1], weight) - _error(stated[0], right[0], weight)
    lower, upper = np.quantile(changes, [(1 - level) / 2, (1 + level) / 2]).tolist()
    ones = np.ones(rows)
    return Calibrations(
        before=_error(stated[0], right[0], ones),
        after=_error(stated[1], right[1], ones),
        lower=lower,
        upper=upper,
    )


def _error(stated: Array, right: Array, weight: Array) -> float:
    bins = np.ceil(stated * _BINS).clip(1, _BINS).astype(np.int64) - 1
    gap = np.bincount(bins, weight * (right - stated), minlength=_BINS)
    return float(np.abs(gap).sum() / weight.sum())
