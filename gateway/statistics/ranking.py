# SPDX-License-Identifier: Apache-2.0
"""Ranking: how well scores order rows, exactly from arrays, or from histograms with a bound.

Histograms merge, weigh and take away. Scores of one bin are taken as equal, so that a figure is
wrong by what could hide within bins, and by no more than the bound that comes with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan, sqrt
from typing import Final

import numpy as np

from gateway.statistics.arrays import Booleans, Floats, Integers, Values, finite, weights_of
from gateway.statistics.intervals import Interval
from gateway.statistics.special import z_value
from gateway.statistics.tally import Tally

# Probabilities nearer to 0 and 1 than 2e-9 share a bin: nearer ones are not distinct in float32.
_WIDEST: Final = 20.0
# Other scores: fine near 0, and in proportion to their size elsewhere, up to 2e15.
_FINEST: Final = 1000.0
_FARTHEST: Final = 42.0


@dataclass(frozen=True, slots=True)
class Bounded:
    """A figure, and how far from the exact one it is at most."""

    value: float
    lower: float
    upper: float


def _curve(truth: Values, scores: Values, weights: Values | None) -> tuple[Floats, Floats]:
    """Weights of positives and negatives at each distinct score, from the highest on."""
    positive = np.asarray(truth, dtype=bool)
    weight = weights_of(weights, len(positive))
    _, places = np.unique(-finite(scores, "score"), return_inverse=True)
    size = int(places.max()) + 1 if len(places) else 0
    return (
        np.bincount(places, weights=weight * positive, minlength=size).astype(np.float64),
        np.bincount(places, weights=weight * ~positive, minlength=size).astype(np.float64),
    )


def _area(positive: Floats, negative: Floats) -> float:
    """P(a positive stands above a negative) + P(equal) / 2; bins from the highest score on."""
    both = float(positive.sum()) * float(negative.sum())
    if not both:
        return nan
    below = negative.sum() - np.cumsum(negative)
    return float(positive @ (below + negative / 2)) / both


def _average_precision(positive: Floats, negative: Floats) -> float:
    """Sum over thresholds of the recall gained there times the precision there."""
    total = float(positive.sum())
    if not total:
        return nan
    hit, missed = np.cumsum(positive), np.cumsum(negative)
    gained = positive > 0
    return float(positive[gained] @ (hit[gained] / (hit[gained] + missed[gained]))) / total


def roc_auc(truth: Values, scores: Values, weights: Values | None = None) -> float:
    """The area under the ROC curve of arrays [n]; nan where one side is missing.

    J. A. Hanley and B. J. McNeil, "The meaning and use of the area under a ROC curve", 1982.
    """
    return _area(*_curve(truth, scores, weights))


def average_precision(truth: Values, scores: Values, weights: Values | None = None) -> float:
    """The area under the precision-recall curve, as steps, of arrays [n]; nan without positives."""
    return _average_precision(*_curve(truth, scores, weights))


def delong(truth: Values, scores: Values, *, level: float = 0.95) -> tuple[float, Interval]:
    """The area under the ROC curve and DeLong's interval of it, of arrays [n].

    E. R. DeLong et al., "Comparing the areas under two or more correlated ROC curves", 1988; by
    midranks: X. Sun and W. Xu, 2014. Below two rows of a side, the interval is [0, 1].
    """
    positive = np.asarray(truth, dtype=bool)
    values = finite(scores, "score")
    ones, zeros = values[positive], values[~positive]
    if len(ones) < 2 or len(zeros) < 2:
        return roc_auc(truth, scores), Interval(0.0, 1.0)
    above = (_midranks(values)[positive] - _midranks(ones)) / len(zeros)
    below = 1 - (_midranks(values)[~positive] - _midranks(zeros)) / len(ones)
    area = float(above.mean())
    variance = float(above.var(ddof=1)) / len(ones) + float(below.var(ddof=1)) / len(zeros)
    return area, _normal(area, variance, level)


def _midranks(values: Floats) -> Floats:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle: Floats = ends - (counts - 1) / 2
    return middle[places]


def hanley_mcneil(
    area: float, positives: float, negatives: float, *, level: float = 0.95
) -> Interval:
    """The interval of an area under the ROC curve, from the number of rows of either side.

    Hanley and McNeil, 1982, equation 1: all that it needs is mergeable.
    """
    if not positives or not negatives or isnan(area):
        return Interval(0.0, 1.0)
    square = area * area
    variance = (
        area * (1 - area)
        + (positives - 1) * (area / (2 - area) - square)
        + (negatives - 1) * (2 * square / (1 + area) - square)
    ) / (positives * negatives)
    return _normal(area, variance, level)


def _normal(area: float, variance: float, level: float) -> Interval:
    half = z_value(level) * sqrt(max(variance, 0.0))
    return Interval(max(0.0, area - half), min(1.0, area + half))


class ScoreHistogram(Tally):
    """Positives and negatives by score, for each of *columns* one-versus-rest questions.

    *probabilities*: scores lie in [0, 1] and bins are even on the logit scale, as scores pile up at
    the ends; else bins are even on the scale of asinh.
    """

    def __init__(self, *, columns: int = 1, bins: int = 2048, probabilities: bool = True) -> None:
        if columns < 1 or bins < 2:
            raise ValueError(f"{columns} columns, {bins} bins: expected 1 and 2 or more")
        super().__init__({"bins": 4}, columns=columns, bins=bins, probabilities=probabilities)
        self._columns, self._bins, self._probabilities = columns, bins, probabilities

    def add(
        self, true: Values, scores: Values, weights: Values | None = None, *, sign: int = 1
    ) -> None:
        """Count rows: *scores* [n, columns]; *true* [n, columns] says where a row is positive."""
        values = finite(scores, "score")
        positive = np.asarray(true, dtype=bool)
        if values.shape != positive.shape or values.ndim != 2 or values.shape[1] != self._columns:
            raise ValueError(
                f"scores of shape {list(values.shape)} for truth {list(positive.shape)}; expected "
                f"both [rows, {self._columns}]"
            )
        weight = np.repeat(weights_of(weights, len(values)), self._columns)
        keys = self._bin(values) + np.arange(self._columns) * self._bins
        ones = positive.ravel()
        self._sums["bins"].add(keys.ravel(), ones.astype(float), weight, weight * ones, sign=sign)

    def _bin(self, values: Floats) -> Integers:
        if self._probabilities:
            if values.size and (values.min() < 0 or values.max() > 1):
                raise ValueError("a probability outside of [0, 1]")
            with np.errstate(divide="ignore"):
                scale = (np.log(values) - np.log1p(-values)) / _WIDEST
        else:
            scale = np.arcsinh(values * _FINEST) / _FARTHEST
        places = np.floor((scale.clip(-1, 1) + 1) / 2 * self._bins)
        bins: Integers = places.clip(0, self._bins - 1).astype(np.int64)
        return bins

    def _column(self, column: int) -> tuple[Floats, Floats, float, float]:
        """Weights of positives and negatives from the highest bin on, and counts of rows."""
        sums = self._sums["bins"]
        table = sums.table[sums.keys // self._bins == column][::-1]
        ones = float(table[:, 1].sum())
        return table[:, 3], table[:, 2] - table[:, 3], ones, float(table[:, 0].sum()) - ones

    def roc_auc(self, column: int = 0) -> Bounded:
        """The area under the ROC curve; the bound is sum P_b N_b / (2 P N)."""
        positive, negative, _, _ = self._column(column)
        area = _area(positive, negative)
        both = float(positive.sum()) * float(negative.sum())
        hidden = float(positive @ negative) / (2 * both) if both else nan
        return Bounded(area, area - hidden, area + hidden)

    def average_precision(self, column: int = 0) -> Bounded:
        """The average precision, with its least and its greatest value.

        Within a bin of P positives and N negatives, after H positives and F negatives, precision is
        at most (H + P) / (H + P + F). At least, where all negatives come first, the positives give
        the integral of (H + x) / (H + x + F + N) over x from 0 to P.
        """
        positive, negative, _, _ = self._column(column)
        total = float(positive.sum())
        value = _average_precision(positive, negative)
        if not total:
            return Bounded(value, value, value)
        hit, missed = np.cumsum(positive), np.cumsum(negative)
        some = positive > 0
        gain, hit, missed, worse = positive[some], hit[some], missed[some], negative[some]
        upper = float(gain @ (hit / (hit + missed - worse))) / total
        # H + F + N is missed + hit - gain; log1p keeps what a difference of logarithms loses.
        lower = float((gain - missed * np.log1p(gain / (hit - gain + missed).clip(1e-200))).sum())
        return Bounded(value, min(value, lower / total), max(value, upper))

    def roc_interval(self, column: int = 0, *, level: float = 0.95) -> Interval:
        """Hanley's and McNeil's interval, widened by what the bins hide."""
        _, _, ones, zeros = self._column(column)
        area = self.roc_auc(column)
        sampled = hanley_mcneil(area.value, ones, zeros, level=level)
        hidden = 0.0 if isnan(area.value) else area.upper - area.value
        return Interval(max(0.0, sampled.lower - hidden), min(1.0, sampled.upper + hidden))

    def shares(self, column: int = 0) -> dict[int, float]:
        """The weight of all rows by bin: the profile of the score, for drift."""
        sums = self._sums["bins"]
        mine = sums.keys // self._bins == column
        keys = (sums.keys[mine] % self._bins).tolist()
        return dict(zip(keys, sums.table[mine, 2].tolist(), strict=True))


class Ranks(Tally):
    """How many classes stand above the true one: top-k accuracy for every k."""

    def __init__(self) -> None:
        super().__init__({"ranks": 3})

    def add(
        self, true: Values, scores: Values, weights: Values | None = None, *, sign: int = 1
    ) -> None:
        """Count rows: *true* [n] is the column of the true class in *scores* [n, classes].

        Of equal scores the later column counts as higher, as in scikit-learn.
        """
        values = finite(scores, "score")
        column = np.asarray(true)
        weight = weights_of(weights, len(column))
        own = np.take_along_axis(values, column[:, None], axis=1)
        later: Booleans = np.arange(values.shape[1]) > column[:, None]
        ranks = ((values > own) | ((values == own) & later)).sum(axis=1)
        self._sums["ranks"].add(ranks.astype(np.int64), weight, weight * weight, sign=sign)

    def top(self, k: int) -> float:
        """The share of rows whose true class is among the *k* highest; nan without rows."""
        sums = self._sums["ranks"]
        total = float(sums.table[:, 1].sum())
        return float(sums.table[sums.keys < k, 1].sum()) / total if total else nan

    @property
    def effective(self) -> float:
        """(sum w)^2 / sum w^2."""
        table = self._sums["ranks"].table
        squares = float(table[:, 2].sum())
        return float(table[:, 1].sum()) ** 2 / squares if squares else 0.0
