# SPDX-License-Identifier: Apache-2.0
"""Counts: rows by feature and bin, a state that merges over processes and times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gateway.statistics.arrays import pack_array, unpack_array

if TYPE_CHECKING:
    from gateway.statistics.arrays import Floats, Integers


class Counts:
    """Counts of *features* features in up to *width* bins each, and of the model's confidence.

    A commutative group, as all states of `gateway.statistics.windows`.
    """

    def __init__(self, features: int, width: int) -> None:
        self.table: Integers = np.zeros((features, width), dtype=np.int64)
        # Rows, rows with a confidence, its sum, and the sum of p (1 - p), a Poisson binomial's
        # variance.
        self.sums: Floats = np.zeros(4)

    def __repr__(self) -> str:
        return f"<Counts of {int(self.sums[0])} rows>"

    def add(self, places: Integers, confidence: Floats, *, sign: int = 1) -> None:
        """Count rows: *places* [n, features], -1 for none, and *confidence* [n], NaN for none."""
        features, width = self.table.shape
        flat = places + np.arange(features) * width
        there = places >= 0
        self.table += sign * np.bincount(flat[there], minlength=features * width).reshape(
            features, width
        )
        known = confidence[np.isfinite(confidence)].astype(np.float64)
        self.sums += sign * np.array(
            [len(places), len(known), known.sum(), (known * (1 - known)).sum()]
        )

    def merge(self, other: Self, sign: int = 1) -> None:
        """Add what *other* counted; with *sign* -1 take it away. ValueError for other features."""
        if other.table.shape != self.table.shape:
            raise ValueError(f"counts {other.table.shape} and {self.table.shape} do not merge")
        self.table += sign * other.table
        self.sums += sign * other.sums

    def copy(self) -> Self:
        """The same, apart."""
        same = type(self)(*self.table.shape)
        same.merge(self)
        return same

    def pack(self) -> dict[str, Any]:
        """Plain data."""
        return {"table": pack_array(self.table), "sums": pack_array(self.sums)}

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Self:
        """What `pack` gave."""
        table = unpack_array(packed["table"])
        counts = cls(*table.shape)
        counts.table += table
        counts.sums += unpack_array(packed["sums"])
        return counts
