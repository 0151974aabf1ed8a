# SPDX-License-Identifier: Apache-2.0
"""Quantile sketch: quantiles of any stream of numbers to a relative error, mergeable.

C. Masson et al., "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", 2019: bins of a width in proportion to the value.
"""

from __future__ import annotations

from math import log, nan, sqrt

import numpy as np

from gateway.statistics.arrays import Integers, Values, finite, weights_of
from gateway.statistics.intervals import Interval
from gateway.statistics.special import z_value
from gateway.statistics.tally import Tally

# Keys of positive values start here, of negative ones at its negative, so that keys are in order.
_MIDDLE = 1 << 20
_SMALLEST = 1e-12


class QuantileSketch(Tally):
    """Values by logarithmic bin, each answered to within *error* of its size.

    Values nearer to 0 than 1e-12 are 0.
    """

    def __init__(self, *, error: float = 0.01) -> None:
        if not 1e-4 <= error <= 0.5:
            raise ValueError(f"error {error}: expected a share from 0.0001 to 0.5")
        super().__init__({"bins": 2}, error=error)
        self._growth = (1 + error) / (1 - error)

    def add(self, values: Values, weights: Values | None = None, *, sign: int = 1) -> None:
        """Count *values* [n]; raises ValueError for one that is not finite."""
        array = finite(values, "value")
        keys = sketch_keys(array, error=self._parameters["error"])
        self._sums["bins"].add(keys, weights_of(weights, len(array)), sign=sign)

    @property
    def total(self) -> float:
        """The weight of all values."""
        return float(self._sums["bins"].table[:, 1].sum())

    def quantile(self, share: float) -> float:
        """The least value with *share* of all weight at or below it; nan for an empty sketch."""
        sums = self._sums["bins"]
        if not len(sums.keys):
            return nan
        reached = np.cumsum(sums.table[:, 1])
        place = int(np.searchsorted(reached, share * reached[-1] * (1 - 1e-12)))
        key = int(sums.keys[min(place, len(reached) - 1)])
        if key == 0:
            return 0.0
        size: float = 2 * self._growth ** (abs(key) - _MIDDLE) / (self._growth + 1)
        return size if key > 0 else -size

    def interval(self, share: float, *, level: float = 0.95) -> Interval:
        """Where the true quantile lies, by the normal approximation of the order statistics."""
        n = float(self._sums["bins"].table[:, 0].sum())
        if not n:
            return Interval(nan, nan)
        half = z_value(level) * sqrt(share * (1 - share) / n)
        return Interval(
            self.quantile(max(0.0, share - half)), self.quantile(min(1.0, share + half))
        )


def sketch_keys(values: Values, *, error: float = 0.01) -> Integers:
    """The bin of each of *values* [n] in a sketch of that *error*."""
    size = np.abs(values)
    small = size < _SMALLEST
    growth = (1 + error) / (1 - error)
    exponent = np.ceil(np.log(np.where(small, 1.0, size)) / log(growth))
    keys: Integers = np.where(small, 0, np.sign(values) * (exponent + _MIDDLE)).astype(np.int64)
    return keys
