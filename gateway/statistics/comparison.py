# SPDX-License-Identifier: Apache-2.0
"""Comparison: a candidate beside the live model on the same rows, and what may be decided.

Only rows on which the two differ can tell them apart. `Comparison` is evidence at every moment:
its decisions are wrong with probability at most alpha however often one looks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import sqrt
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np

from gateway.statistics.arrays import Booleans, Values, same_rows
from gateway.statistics.betting import (
    disagreement_bound,
    mcnemar,
    wealth_not_worse,
    wealth_worse,
)
from gateway.statistics.confidence_sequences import share_sequence
from gateway.statistics.intervals import Interval
from gateway.statistics.special import binomial_half_tail, z_value

if TYPE_CHECKING:
    from collections.abc import Mapping

Outcome = Literal["promote", "roll back", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows that both models have answered, by what is known of them.

    *live* and *candidate* count labelled rows that only this one has right, *neither* those on
    which they differ and both are wrong, *agreed* those on which they say the same and that have a
    label. *unlabelled_agreed* and *unlabelled_differ* have none.
    """

    live: int = 0
    candidate: int = 0
    neither: int = 0
    agreed: int = 0
    unlabelled_agreed: int = 0
    unlabelled_differ: int = 0

    @classmethod
    def of(
        cls, live: Values, candidate: Values, truth: Values, labelled: Booleans | None = None
    ) -> Self:
        """Count rows [n]; *truth* counts where *labelled* [n] is true, everywhere by default."""
        same_rows("candidate classes", candidate, len(live))
        same_rows("true classes", truth, len(live))
        known = np.ones(len(live), dtype=bool) if labelled is None else labelled
        same = live == candidate
        first, second = live == truth, candidate == truth
        return cls(
            live=int((known & ~same & first).sum()),
            candidate=int((known & ~same & second).sum()),
            neither=int((known & ~same & ~first & ~second).sum()),
            agreed=int((known & same).sum()),
            unlabelled_agreed=int((~known & same).sum()),
            unlabelled_differ=int((~known & ~same).sum()),
        )

    def __add__(self, other: Pairs) -> Pairs:
        return Pairs(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Pairs)))

    def __sub__(self, other: Pairs) -> Pairs:
        return Pairs(*(getattr(self, one.name) - getattr(other, one.name) for one in fields(Pairs)))

    @property
    def rows(self) -> int:
        """All rows, labelled or not."""
        return sum(asdict(self).values())

    @property
    def labelled(self) -> int:
        """Rows with a label."""
        return self.live + self.candidate + self.neither + self.agreed

    @property
    def differ(self) -> int:
        """Rows with two answers."""
        return self.live + self.candidate + self.neither + self.unlabelled_differ


def mcnemar_exact(b: int, c: int, *, mid: bool = False) -> float:
    """McNemar's exact two-sided p-value, for one look at a number of rows fixed before.

    Q. McNemar, 1947; *mid* takes off half of the probability of the outcome seen: M. W. Fagerland
    et al., "The McNemar test for binary matched-pairs data", 2013.
    """
    least, n = min(b, c), b + c
    if not n:
        return 1.0
    tail = binomial_half_tail(least, n)
    if not mid:
        return min(1.0, 2 * tail)
    point = tail - binomial_half_tail(least - 1, n)
    return min(1.0, 2 * tail - point)


def difference_interval(pairs: Pairs, *, level: float = 0.95) -> tuple[float, Interval]:
    """Accuracy of the candidate less that of the live model, over labelled rows, at one look.

    The interval adds 1/2 to each cell of the two by two table: A. Agresti and Y. Min, "Simple
    improved confidence intervals for comparing matched proportions", 2005.
    """
    n = pairs.labelled
    if not n:
        return 0.0, Interval(-1.0, 1.0)
    z = z_value(level)
    b, c, total = pairs.live + 0.5, pairs.candidate + 0.5, n + 2
    middle = (c - b) / total
    half = z * sqrt((b + c) - (c - b) ** 2 / total) / total
    return (pairs.candidate - pairs.live) / n, Interval(
        max(-1.0, middle - half), min(1.0, middle + half)
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """What may be decided now, and the evidence for it.

    *not_worse* and *worse* are e-values: from 1 / alpha on they decide. *disagreement* holds at all
    times; *difference* is over labelled rows with its interval for one look. *mcnemar* is the
    two-sided e-value that the two err differently often.
    """

    outcome: Outcome
    sentence: str
    pairs: Pairs
    margin: float
    alpha: float
    not_worse: float
    worse: float
    mcnemar: float
    disagreement: Interval
    difference: float
    difference_interval: Interval
    without_labels: bool


def decide(
    pairs: Pairs,
    *,
    margin: float,
    alpha: float = 0.05,
    least: int = 0,
    labels_at_random: bool = False,
) -> Decision:
    """`decide_weighted` of rows that all stand for as many."""
    return decide_weighted(
        {1.0: pairs}, margin=margin, alpha=alpha, least=least, labels_at_random=labels_at_random
    )


def decide_weighted(
    strata: Mapping[float, Pairs],
    *,
    margin: float,
    alpha: float = 0.05,
    least: int = 0,
    labels_at_random: bool = False,
) -> Decision:
    """Whether the candidate may be promoted: proven to be worse by less than *margin*, of all rows.

    The bet takes all rows, and counts a difference without a label against what it would prove, so
    it needs no assumption of which rows have labels; without any label it is the proof by
    disagreement, since a candidate is worse on no more rows than it differs on. *labels_at_random*
    says that whether a row has a label has nothing to do with its answers: then the wealth is
    averaged with that of a bet on labelled rows alone, which few labels need, and which a queue
    that picks differing rows for labels would make wrong. "roll back" mirrors it: it is proven to
    be worse by more than *margin*. After promotion the same function watches the new model with
    the old one as *live*.

    *strata* are the pairs by the weight of their rows, in (0, 1]: rows that were twice as likely
    to be here have half the weight, which must be known before the row. Below *least* rows nothing
    is decided. Raises ValueError for a margin, an alpha or a weight out of range.
    """
    if not 0 < alpha < 1 or not 0 <= margin < 1:
        raise ValueError(
            f"margin {margin:g}, alpha {alpha:g}: expected shares between 0 and 1, such as 0.01"
        )
    pairs = sum(strata.values(), Pairs())
    good, bad = wealth_of(strata, margin=margin, labels_at_random=labels_at_random)
    b, c = pairs.live, pairs.candidate
    needed = 1 / alpha
    outcome: Outcome = "inconclusive"
    if pairs.rows >= max(least, 1):
        outcome = "promote" if good >= needed else "roll back" if bad >= needed else outcome
    difference, interval = difference_interval(pairs, level=1 - alpha)
    decision = Decision(
        outcome=outcome,
        sentence="",
        pairs=pairs,
        margin=margin,
        alpha=alpha,
        not_worse=good,
        worse=bad,
        mcnemar=mcnemar(b, c),
        disagreement=share_sequence(pairs.differ, pairs.rows, level=1 - alpha),
        difference=difference,
        difference_interval=interval,
        without_labels=not (b or c or pairs.neither),
    )
    return _with_sentence(decision)


def differs_at_most(strata: Mapping[float, Pairs], *, alpha: float = 0.05) -> float:
    """The bound at all times of the share of rows on which the two differ, by the deciding bet.

    Where it is below a margin, `decide_weighted` promotes by that margin without any label.
    """
    return disagreement_bound(
        {weight: (each.differ, each.rows) for weight, each in strata.items()}, alpha=alpha
    )


def wealth_of(
    strata: Mapping[float, Pairs], *, margin: float, labels_at_random: bool = False
) -> tuple[float, float]:
    """The e-values against "worse by *margin* or more" and "worse by *margin* at most"."""
    good = wealth_not_worse(
        {
            weight: (each.live + each.unlabelled_differ, each.candidate, _same(each))
            for weight, each in strata.items()
        },
        margin=margin,
    )
    bad = wealth_worse(
        {
            weight: (each.live, each.candidate + each.unlabelled_differ, _same(each))
            for weight, each in strata.items()
        },
        margin=margin,
    )
    if labels_at_random:
        told = {
            weight: (each.live, each.candidate, each.agreed + each.neither)
            for weight, each in strata.items()
        }
        # The mean of two bets against one claim is one more bet against it.
        good = (good + wealth_not_worse(told, margin=margin)) / 2
        bad = (bad + wealth_worse(told, margin=margin)) / 2
    return good, bad


def _same(pairs: Pairs) -> int:
    """Rows that tell for neither: with one answer, or with two wrong ones."""
    return pairs.agreed + pairs.neither + pairs.unlabelled_agreed


_RESULT: Final = {
    "promote": "it is shown to be worse by less than {margin:.2%} of rows",
    "roll back": "it is shown to be worse by more than {margin:.2%} of rows",
    "inconclusive": "this does not yet show whether it is worse by {margin:.2%} of rows",
}


def _with_sentence(decision: Decision) -> Decision:
    pairs = decision.pairs
    seen = f"On {pairs.rows} rows the candidate differs on {pairs.differ}"
    if decision.without_labels:
        told = ", none of which has a label"
    else:
        told = (
            f"; of those with a label it alone is right on {pairs.candidate} and the live model "
            f"alone on {pairs.live}"
        )
    wealth = decision.worse if decision.outcome == "roll back" else decision.not_worse
    why = _RESULT[decision.outcome].format(margin=decision.margin)
    sentence = f"{seen}{told}: {why} (e-value {wealth:.3g}, {1 / decision.alpha:.3g} is needed)."
    values: dict[str, Any] = {one.name: getattr(decision, one.name) for one in fields(Decision)}
    return Decision(**values | {"sentence": sentence})


def harmed(before: Interval, after: Interval, *, tolerance: float = 0.0) -> bool:
    """Whether the risk *after* is higher for certain: its lower end above all of *before*.

    With confidence sequences of the error rate as intervals, it may be asked at any time:
    A. Podkopaev and A. Ramdas, "Tracking the risk of a deployed model", 2022. Shift that does no
    harm raises nothing.
    """
    return after.lower > before.upper + tolerance
