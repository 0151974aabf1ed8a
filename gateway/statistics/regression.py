# SPDX-License-Identifier: Apache-2.0
"""Regression: errors of predicted numbers, from moments that merge without cancellation."""

from __future__ import annotations

from math import nan, sqrt
from typing import Any, Final, Self

import numpy as np

from gateway.statistics.arrays import (
    Floats,
    Values,
    finite,
    pack_array,
    same_rows,
    unpack_array,
    weights_of,
)
from gateway.statistics.intervals import Interval, mean_interval
from gateway.statistics.sketch import QuantileSketch

# Weighted sums about the mean m of the truth y, with the error e = predicted - y:
(_ROWS, _W, _WW, _MEAN, _Y2, _Y3, _Y4, _E, _ABS, _E2, _E4, _E2Y, _E2YY, _SIZE, _RELATIVE) = range(
    15
)
_WIDTH: Final = 15


class Regression:
    """Counts pairs of true and predicted number.

    Sums are kept about the mean of the truth, so that a large mean costs no digits. Merging moves
    them: T. F. Chan et al., "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979; P. Pébay, "Formulas for robust, one-pass parallel computation of
    covariances and arbitrary-order statistical moments", 2008.
    """

    def __init__(self, *, error: float = 0.01) -> None:
        self._sums: Floats = np.zeros(_WIDTH)
        self._error = error
        self.errors = QuantileSketch(error=error)

    def __repr__(self) -> str:
        return f"<Regression of {self.rows} rows>"

    @property
    def rows(self) -> int:
        """How many rows are counted."""
        return int(self._sums[_ROWS])

    @property
    def effective(self) -> float:
        """(sum w)^2 / sum w^2."""
        sums = self._sums
        return float(sums[_W] ** 2 / sums[_WW]) if sums[_WW] else 0.0

    def add(
        self, true: Values, predicted: Values, weights: Values | None = None, *, sign: int = 1
    ) -> None:
        """Count rows: *true*, *predicted* and *weights* are [n]; *sign* -1 takes them back."""
        truth, said = finite(true, "true value"), finite(predicted, "predicted value")
        same_rows("predicted values", said, len(truth))
        weight = weights_of(weights, len(truth))
        if not len(truth):
            return
        total = float(weight.sum())
        mean = float(weight @ truth) / total if total else 0.0
        away, error = truth - mean, said - truth
        size = np.abs(error)
        square = error * error
        sums = np.zeros(_WIDTH)
        sums[[_ROWS, _W, _WW, _MEAN]] = len(truth), total, weight @ weight, mean
        sums[[_Y2, _Y3, _Y4]] = weight @ away**2, weight @ away**3, weight @ away**4
        sums[[_E, _ABS, _E2, _E4]] = (
            weight @ error,
            weight @ size,
            weight @ square,
            (weight @ square**2),
        )
        sums[[_E2Y, _E2YY]] = weight @ (square * away), weight @ (square * away**2)
        sums[_SIZE] = weight @ np.abs(truth)
        sums[_RELATIVE] = weight @ (2 * size / (np.abs(truth) + np.abs(said)).clip(1e-300))
        self._join(sums, sign)
        self.errors.add(size, weight, sign=sign)

    @classmethod
    def of_moments(cls, moments: Floats, errors: QuantileSketch, *, centre: float) -> Self:
        """A state from sums about *centre*, as `moments_about` gives them, and a sketch of |e|."""
        regression = cls()
        regression.errors = errors
        rows, total, weights2, y1, y2, y3, y4, *others = moments.tolist()
        if not rows:
            return regression
        d = y1 / total if total else 0.0
        error, size, e2, e4, e2y, e2yy, truth, relative = others
        sums = regression._sums
        sums[[_ROWS, _W, _WW, _MEAN]] = rows, total, weights2, centre + d
        sums[_Y2] = max(0.0, y2 - d * y1)
        sums[_Y3] = y3 - 3 * d * y2 + 2 * d * d * y1
        sums[_Y4] = y4 - 4 * d * y3 + 6 * d * d * y2 - 3 * d**3 * y1
        sums[[_E, _ABS, _E2, _E4]] = error, size, e2, e4
        sums[[_E2Y, _E2YY]] = e2y - d * e2, e2yy - 2 * d * e2y + d * d * e2
        sums[[_SIZE, _RELATIVE]] = truth, relative
        return regression

    def deflate(self, factor: float) -> None:
        """Let the rows be worth *factor* times fewer rows of equal weight: they repeat."""
        self._sums[_WW] *= factor

    def merge(self, other: Self, sign: int = 1) -> None:
        """Add what *other* counted; with *sign* -1 take it away."""
        self._join(other._sums, sign)
        self.errors.merge(other.errors, sign)

    def _join(self, other: Floats, sign: int) -> None:
        mine = self._sums
        if not mine[_ROWS] and sign > 0:
            self._sums = other.copy()
            return
        total = mine[_W] + sign * other[_W]
        if mine[_ROWS] + sign * other[_ROWS] == 0:
            self._sums = np.zeros(_WIDTH)
            return
        mean = (mine[_W] * mine[_MEAN] + sign * other[_W] * other[_MEAN]) / total if total else 0.0
        joined = _about(mine, mean) + sign * _about(other, mean)
        joined[_MEAN] = mean
        self._sums = joined

    def mae(self, *, level: float = 0.95) -> tuple[float, Interval]:
        """The mean absolute error and its normal interval."""
        return self._mean(_ABS, self._sums[_E2], level)

    def bias(self, *, level: float = 0.95) -> tuple[float, Interval]:
        """The mean of predicted less true, and its normal interval."""
        return self._mean(_E, self._sums[_E2], level)

    def _mean(self, place: int, squares: float, level: float) -> tuple[float, Interval]:
        total = self._sums[_W]
        if not total:
            return nan, Interval(nan, nan)
        mean = float(self._sums[place] / total)
        variance = float(squares / total) - mean * mean
        return mean, mean_interval(mean, variance, self.effective, level=level)

    def rmse(self, *, level: float = 0.95) -> tuple[float, Interval]:
        """The root of the mean squared error; the interval is that of the mean square, rooted."""
        square, interval = self._mean(_E2, self._sums[_E4], level)
        if not square >= 0:
            return nan, Interval(nan, nan)
        return sqrt(square), Interval(sqrt(max(0.0, interval.lower)), sqrt(interval.upper))

    def r2(self, *, level: float = 0.95) -> tuple[float, Interval]:
        """1 - SSE / SST, and its interval by the delta method over the two mean squares.

        As in scikit-learn, 1 or 0 where the truth is constant, and nan below two rows.
        """
        sums, total = self._sums, self._sums[_W]
        if self.rows < 2 or not total:
            return nan, Interval(nan, nan)
        error, spread = float(sums[_E2] / total), float(sums[_Y2] / total)
        if not spread:
            value = 0.0 if error else 1.0
            return value, Interval(nan, nan)
        value = 1 - error / spread
        error_variance = float(sums[_E4] / total) - error**2
        spread_variance = float(sums[_Y4] / total) - spread**2
        both = float(sums[_E2YY] / total) - error * spread
        variance = (
            error_variance / spread**2
            + error**2 * spread_variance / spread**4
            - 2 * error * both / spread**3
        )
        return value, mean_interval(value, variance, self.effective, level=level)

    def explained_variance(self) -> float:
        """1 - variance of the error / variance of the truth: R2 that forgives a constant bias."""
        total = self._sums[_W]
        if self.rows < 2 or not total or not self._sums[_Y2]:
            return nan
        bias = float(self._sums[_E] / total)
        return 1 - (float(self._sums[_E2] / total) - bias**2) / float(self._sums[_Y2] / total)

    def wape(self) -> float:
        """Sum of |error| over sum of |truth|: a percentage error that stays finite near 0."""
        return float(self._sums[_ABS] / self._sums[_SIZE]) if self._sums[_SIZE] else nan

    def smape(self) -> float:
        """The mean of 2 |error| / (|truth| + |predicted|), from 0 to 2."""
        return float(self._sums[_RELATIVE] / self._sums[_W]) if self._sums[_W] else nan

    def spread(self) -> float:
        """The standard deviation of the truth: the RMSE of always saying its mean."""
        total = self._sums[_W]
        return sqrt(max(0.0, float(self._sums[_Y2] / total))) if total else nan

    def copy(self) -> Self:
        """The same sums, apart."""
        same = type(self)(error=self._error)
        same.merge(self)
        return same

    def pack(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "error": self._error,
            "sums": pack_array(self._sums),
            "errors": self.errors.pack(),
        }

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Self:
        """What `pack` gave; raises ValueError for anything else."""
        sums = unpack_array(packed["sums"])
        if sums.shape != (_WIDTH,):
            raise ValueError(f"packed moments of shape {list(sums.shape)}; expected [{_WIDTH}]")
        regression = cls(error=packed["error"])
        regression._sums, regression.errors = sums, QuantileSketch.unpack(packed["errors"])
        return regression


def moments_about(centre: float, true: Values, predicted: Values, weight: Floats) -> list[Floats]:
    """What each row adds to the moments about *centre*: fourteen columns [n] after the count.

    Plain sums, which any table keeps by any key; digits are kept where *centre* is near the mean.
    """
    truth, said = finite(true, "true value"), finite(predicted, "predicted value")
    away, error = truth - centre, said - truth
    size, square = np.abs(error), error * error
    relative = 2 * size / (np.abs(truth) + np.abs(said)).clip(1e-300)
    rows = (
        away, away**2, away**3, away**4, error, size, square, square**2, square * away,
        square * away**2, np.abs(truth), relative,
    )  # fmt: skip
    return [weight, weight * weight, *(weight * row for row in rows)]


def _about(sums: Floats, mean: float) -> Floats:
    """*sums* as they are about another *mean* of the truth."""
    d = sums[_MEAN] - mean
    moved = sums.copy()
    moved[_Y2] = sums[_Y2] + d * d * sums[_W]
    moved[_Y3] = sums[_Y3] + 3 * d * sums[_Y2] + d**3 * sums[_W]
    moved[_Y4] = sums[_Y4] + 4 * d * sums[_Y3] + 6 * d * d * sums[_Y2] + d**4 * sums[_W]
    moved[_E2Y] = sums[_E2Y] + d * sums[_E2]
    moved[_E2YY] = sums[_E2YY] + 2 * d * sums[_E2Y] + d * d * sums[_E2]
    return moved
