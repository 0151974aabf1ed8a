# SPDX-License-Identifier: Apache-2.0
"""Prediction-powered inference: few labels, made sharper by an estimate on all the other rows.

A. N. Angelopoulos et al., "Prediction-powered inference", 2023, and "PPI++: efficient
prediction-powered inference", 2024. Labels correct what the estimate gets wrong, so it stays valid
when the world changes; it assumes only that labelled rows are a random part of all rows.
"""

from __future__ import annotations

from math import nan
from typing import Final

import numpy as np

from gateway.statistics.arrays import Floats, Values, same_rows
from gateway.statistics.intervals import Interval, mean_interval, wilson
from gateway.statistics.tally import Tally

ASSUMES: Final = (
    "An estimate from the labels, sharpened by the model's own confidence on rows without one. It "
    "assumes that labelled rows are a random part of all rows; it does not assume that the "
    "confidence is right, or that nothing has changed."
)
# Below this the gain of PPI++ is uncertain and its normal interval too short.
_FEWEST: Final = 50


class PredictionPowered(Tally):
    """Sums of an estimate f, in [0, 1], on all rows, and of the truth y, 0 or 1, on labelled ones.

    f is for instance the calibrated probability that the answer is right, y whether it was.
    """

    def __init__(self) -> None:
        super().__init__({"labelled": 6, "others": 3})

    def add_labelled(self, truth: Values, estimates: Values, *, sign: int = 1) -> None:
        """Count labelled rows: *truth* and *estimates* are [n]."""
        y, f = np.asarray(truth, dtype=np.float64), np.asarray(estimates, dtype=np.float64)
        same_rows("estimates", f, len(y))
        keys = np.zeros(len(y), dtype=np.int64)
        self._sums["labelled"].add(keys, y, f, y * y, f * f, y * f, sign=sign)

    def add_others(self, estimates: Values, *, sign: int = 1) -> None:
        """Count rows without a label; one whose label comes goes over with *sign* -1."""
        f = np.asarray(estimates, dtype=np.float64)
        self._sums["others"].add(np.zeros(len(f), dtype=np.int64), f, f * f, sign=sign)

    def _row(self, name: str) -> Floats:
        sums = self._sums[name]
        return sums.table[0] if len(sums.table) else np.zeros(sums.table.shape[1])

    def mean(self, *, level: float = 0.95, tuned: bool = True) -> tuple[float, Interval, float]:
        """The mean of y over all rows, its interval, and how much the estimates counted, 0 to 1.

        lambda mean_N(f) + mean_n(y - lambda f) with variance lambda^2 var(f) / N + var(y - lambda
        f) / n. *tuned* takes the lambda of least variance, Cov(y, f) / ((1 + n / N) Var f), else 1.
        With fewer than 50 labels it is their mean alone, with Wilson's interval. Never narrower
        than what the labels that were wrong or right allow: a sample of one outcome has no
        variance to see, and gets Wilson's interval too.
        """
        n, y, f, yy, ff, yf = self._row("labelled").tolist()
        others, g, gg = self._row("others").tolist()
        if not n:
            return nan, Interval(0.0, 1.0), 0.0
        mean_y, mean_f = y / n, f / n
        if n < _FEWEST or not others or yy / n - mean_y**2 <= 0:
            return mean_y, wilson(y, n, level=level), 0.0
        pooled = (f + g) / (n + others)
        spread = (ff + gg) / (n + others) - pooled**2
        covariance = yf / n - mean_y * mean_f
        share = 1.0
        if tuned:
            share = covariance / ((1 + n / others) * spread) if spread > 0 else 0.0
            share = min(1.0, max(0.0, share))
        value = share * g / others + mean_y - share * mean_f
        left = (yy - 2 * share * yf + share**2 * ff) / n - (mean_y - share * mean_f) ** 2
        variance = share**2 * spread / others + max(left, 0.0) / (n - 1)
        interval = mean_interval(value, variance * 2, 2, level=level)
        clipped = Interval(max(0.0, interval.lower), min(1.0, interval.upper))
        return min(1.0, max(0.0, value)), clipped, share
