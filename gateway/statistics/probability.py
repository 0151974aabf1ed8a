# SPDX-License-Identifier: Apache-2.0
"""Probability: whether the probabilities that a classifier gives are worth their name."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Final

import numpy as np

from gateway.statistics.arrays import Floats, Values, finite, same_rows, weights_of
from gateway.statistics.intervals import Interval, mean_interval
from gateway.statistics.tally import Tally

# scikit-learn's clipping of probabilities in the log loss, for float64.
_EPSILON: Final = float(np.finfo(np.float64).eps)


def probabilities_of(scores: Values, rows: int) -> Floats:
    """*scores* [rows, classes] as probabilities; raises ValueError where they are none."""
    values = finite(scores, "probability")
    if values.ndim != 2 or len(values) != rows:
        raise ValueError(f"probabilities of shape {list(values.shape)}; expected [{rows}, classes]")
    if values.size and (values.min() < 0 or values.max() > 1):
        raise ValueError("a probability outside of [0, 1]")
    return values


class Losses(Tally):
    """Brier score and log loss.

    *half*: the Brier score of two classes is that of one of them, (p - y)^2, instead of the sum
    over both. G. W. Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """

    def __init__(self, *, half: bool = False) -> None:
        super().__init__({"rows": 7}, half=half)
        self._half = half

    def add(
        self, true: Values, scores: Values, weights: Values | None = None, *, sign: int = 1
    ) -> None:
        """Count rows: *true* [n] is the column of the true class in *scores* [n, classes]."""
        column = np.asarray(true)
        values = probabilities_of(scores, len(column))
        weight = weights_of(weights, len(column))
        own = np.take_along_axis(values, column[:, None], axis=1)[:, 0]
        # sum over classes of (p - y)^2, without the matrix of y.
        brier = (values * values).sum(axis=1) - own * own + (1 - own) ** 2
        if self._half:
            brier = brier / 2
        log = -np.log(own.clip(_EPSILON, 1 - _EPSILON))
        self._sums["rows"].add(
            np.zeros(len(column), dtype=np.int64),
            weight, weight * weight, weight * brier, weight * brier**2, weight * log,
            weight * log**2,
            sign=sign,
        )  # fmt: skip

    def _mean(self, place: int, level: float) -> tuple[float, Interval]:
        table = self._sums["rows"].table
        if not len(table) or not table[0, 1]:
            return nan, Interval(nan, nan)
        row = table[0]
        mean = float(row[place] / row[1])
        variance = float(row[place + 1] / row[1]) - mean * mean
        return mean, mean_interval(mean, variance, float(row[1] ** 2 / row[2]), level=level)

    def brier(self, *, level: float = 0.95) -> tuple[float, Interval]:
        """The Brier score and its normal interval."""
        return self._mean(3, level)

    def log_loss(self, *, level: float = 0.95) -> tuple[float, Interval]:
        """The mean of -ln of the true class's probability, and its normal interval."""
        return self._mean(5, level)


@dataclass(frozen=True, slots=True)
class Murphy:
    """Brier score = reliability - resolution + uncertainty, for a probability of one event.

    A. H. Murphy, "A new vector partition of the probability score", 1973. It is exact where
    all probabilities of a bin are equal.
    """

    reliability: float
    resolution: float
    uncertainty: float


class Calibration(Tally):
    """Rows by stated probability: how many, what was stated on average, and what came true.

    *bins* of equal width, each with its upper end, as in C. Guo et al., "On calibration of modern
    neural networks", 2017.
    """

    def __init__(self, *, bins: int = 15) -> None:
        if bins < 1:
            raise ValueError(f"{bins} bins; expected one or more")
        super().__init__({"bins": 4}, bins=bins)
        self._bins = bins

    def add(
        self, outcomes: Values, stated: Values, weights: Values | None = None, *, sign: int = 1
    ) -> None:
        """Count rows: *stated* [n] is the probability of an event, *outcomes* [n] if it came."""
        values = finite(stated, "probability")
        same_rows("outcomes", np.asarray(outcomes), len(values))
        weight = weights_of(weights, len(values))
        keys = np.ceil(values * self._bins).clip(1, self._bins).astype(np.int64) - 1
        came = np.asarray(outcomes, dtype=np.float64)
        self._sums["bins"].add(keys, weight, weight * values, weight * came, sign=sign)

    def curve(self) -> Floats:
        """[bins that occur, 3]: weight, mean stated probability, share that came true."""
        table = self._sums["bins"].table[:, 1:]
        table = table[table[:, 0] > 0]
        return np.column_stack((table[:, 0], table[:, 1] / table[:, 0], table[:, 2] / table[:, 0]))

    def ece(self) -> float:
        """The expected calibration error, sum of share of rows times |came true - stated|.

        Biased upwards when rows are few: M. P. Naeini et al., 2015.
        """
        weight, stated, came = self.curve().T
        total = float(weight.sum())
        return float(weight @ np.abs(came - stated)) / total if total else nan

    def murphy(self) -> Murphy:
        """The parts of the Brier score."""
        weight, stated, came = self.curve().T
        total = float(weight.sum())
        if not total:
            return Murphy(nan, nan, nan)
        base = float(weight @ came) / total
        return Murphy(
            float(weight @ (came - stated) ** 2) / total,
            float(weight @ (came - base) ** 2) / total,
            base * (1 - base),
        )
