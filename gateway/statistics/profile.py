# SPDX-License-Identifier: Apache-2.0
"""Profile: what is kept of a column of inputs or outputs, so that its drift can be seen.

Counts by bin, which merge and take away; raw values are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from gateway.statistics.arrays import Floats, Integers, Values, weights_of
from gateway.statistics.sketch import QuantileSketch
from gateway.statistics.tally import Tally


class NumberProfile(Tally):
    """Numbers by bin: below the first edge, between edges, from the last edge on, and not numbers.

    *edges* come from the reference, so that each bin holds as much of it as the others.
    """

    def __init__(self, *, edges: Sequence[float]) -> None:
        ordered = [float(edge) for edge in edges]
        if sorted(set(ordered)) != ordered:
            raise ValueError("edges that do not grow")
        super().__init__({"bins": 2}, edges=ordered)
        self._edges: Floats = np.asarray(ordered)

    @classmethod
    def fit(cls, values: Values, *, bins: int = 10) -> Self:
        """An empty profile whose *bins* hold equal parts of *values* [n].

        Where many values are equal there are fewer bins. ValueError without a number.
        """
        numbers = np.asarray(values, dtype=np.float64)
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            raise ValueError("no finite number to fit a profile to")
        edges = np.quantile(numbers, np.arange(1, bins) / bins, method="inverted_cdf")
        return cls(edges=np.unique(edges).tolist())

    @classmethod
    def of_sketch(cls, sketch: QuantileSketch, *, bins: int = 10) -> Self:
        """The same from a sketch of the reference."""
        edges = [sketch.quantile(place / bins) for place in range(1, bins)]
        if not edges or np.isnan(edges[0]):
            raise ValueError("an empty sketch")
        return cls(edges=sorted(set(edges)))

    @property
    def bins(self) -> int:
        """How many bins there are, that of what is not a number included."""
        return len(self._edges) + 2

    def places(self, values: Values) -> Integers:
        """The bin of each of *values* [n]."""
        numbers = np.asarray(values, dtype=np.float64)
        keys = np.searchsorted(self._edges, numbers, side="left").astype(np.int64)
        keys[~np.isfinite(numbers)] = len(self._edges) + 1
        return keys

    def add(self, values: Values, weights: Values | None = None, *, sign: int = 1) -> None:
        """Count *values* [n]; what is not a finite number is counted as that."""
        keys = self.places(values)
        self._sums["bins"].add(keys, weights_of(weights, len(keys)), sign=sign)

    def counts(self) -> Floats:
        """The weight of every bin, [edges + 2], the last of what is not a number."""
        sums = self._sums["bins"]
        counts = np.zeros(len(self._edges) + 2)
        counts[sums.keys] = sums.table[:, 1]
        return counts


class NameProfile(Tally):
    """Names, or classes, by count: those that are *known*, in that order, and all others."""

    def __init__(self, *, known: Sequence[str] | Sequence[int]) -> None:
        names = list(known)
        if len(set(names)) != len(names):
            raise ValueError("a name that is listed twice")
        super().__init__({"bins": 2}, known=names)
        self._codes = {name: code for code, name in enumerate(names)}

    @property
    def bins(self) -> int:
        """How many bins there are, that of all other names included."""
        return len(self._codes) + 1

    def places(self, values: Values) -> Integers:
        """The bin of each of *values* [n]."""
        distinct, places = np.unique(np.asarray(values), return_inverse=True)
        other = len(self._codes)
        codes = [self._codes.get(name, other) for name in distinct.tolist()]
        return np.asarray(codes, dtype=np.int64)[places]

    def add(self, values: Values, weights: Values | None = None, *, sign: int = 1) -> None:
        """Count *values* [n]."""
        keys = self.places(values)
        self._sums["bins"].add(keys, weights_of(weights, len(keys)), sign=sign)

    def counts(self) -> Floats:
        """The weight of every known name, and of all others at the end."""
        sums = self._sums["bins"]
        counts = np.zeros(len(self._codes) + 1)
        counts[sums.keys] = sums.table[:, 1]
        return counts
