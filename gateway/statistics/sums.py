# SPDX-License-Identifier: Apache-2.0
"""Sums: the state of nearly every metric, a table of sums by key that adds and takes away.

A commutative group: order of rows and of merges does not matter, and a correction subtracts the
old row and adds the new one. Counts, and weights that are whole numbers (or multiples of a power
of two), are exact below 2**53; other weights differ in the last digits with the order.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from gateway.statistics.arrays import Floats, Integers, Values, pack_array, unpack_array


class Sums:
    """*width* sums by an integer key; a key without rows is not kept.

    The first column counts rows: when it returns to 0 the key goes, and with it what rounding left
    in the other columns.
    """

    def __init__(self, width: int) -> None:
        self.keys: Integers = np.empty(0, dtype=np.int64)
        self.table: Floats = np.empty((0, width))

    def __repr__(self) -> str:
        return f"<Sums of {len(self.keys)} keys>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sums):
            return NotImplemented
        return np.array_equal(self.keys, other.keys) and np.array_equal(self.table, other.table)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def add(self, keys: Integers, *columns: Values, sign: int = 1) -> None:
        """Add rows with *keys* [n] and one value a row, [n], for every column after the count."""
        if len(columns) + 1 != self.table.shape[1]:
            raise ValueError(f"{len(columns)} columns; expected {self.table.shape[1] - 1}")
        if not len(keys):
            return
        distinct, places = _distinct(keys)
        table = np.empty((len(distinct), self.table.shape[1]))
        table[:, 0] = np.bincount(places, minlength=len(distinct))
        for number, column in enumerate(columns, start=1):
            table[:, number] = np.bincount(places, weights=column, minlength=len(distinct))
        self.join(distinct, table, sign)

    def merge(self, other: Self, sign: int = 1) -> None:
        """Add what *other* holds; with *sign* -1 take it away."""
        if other.table.shape[1] != self.table.shape[1]:
            raise ValueError("sums of other columns")
        self.join(other.keys, other.table, sign)

    def join(self, keys: Integers, table: Floats, sign: int = 1) -> None:
        """Add what a *table* [k, width] holds for *keys* [k], which are distinct and sorted.

        The first column of *table* counts rows.
        """
        if not len(keys):
            return
        if len(self.keys):
            places = np.searchsorted(self.keys, keys)
            known = self.keys[np.minimum(places, len(self.keys) - 1)] == keys
            if known.all():
                self._add_known(places, table, sign)
                return
        both = np.concatenate((self.keys, keys))
        joined, places = np.unique(both, return_inverse=True)
        total = np.zeros((len(joined), table.shape[1]))
        # Within each part keys are distinct, so that plain indexing adds every row.
        total[places[: len(self.keys)]] = self.table
        total[places[len(self.keys) :]] += sign * table
        kept = total[:, 0] != 0
        self.keys, self.table = joined[kept], total[kept]

    def _add_known(self, places: Integers, table: Floats, sign: int) -> None:
        """Add to the keys at *places*: once a state has met its keys, nothing is sorted again."""
        self.table[places] += sign * table
        if not self.table[places, 0].all():
            kept = self.table[:, 0] != 0
            self.keys, self.table = self.keys[kept], self.table[kept]

    def copy(self) -> Self:
        """The same sums, apart."""
        same = type(self)(self.table.shape[1])
        same.keys, same.table = self.keys.copy(), self.table.copy()
        return same

    def pack(self) -> dict[str, Any]:
        """Plain data."""
        return {"keys": pack_array(self.keys), "table": pack_array(self.table)}

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Self:
        """What `pack` gave; raises ValueError for anything else."""
        keys, table = unpack_array(packed["keys"]), unpack_array(packed["table"])
        if keys.ndim != 1 or table.ndim != 2 or len(keys) != len(table):
            raise ValueError("packed sums whose keys and table do not fit")
        sums = cls(table.shape[1])
        sums.keys, sums.table = keys.astype(np.int64), table.astype(np.float64)
        return sums


def _distinct(keys: Integers) -> tuple[Integers, Integers]:
    """The sorted distinct *keys* and the place of each key among them."""
    low, high = int(keys.min()), int(keys.max())
    if high - low < 4 * len(keys) + 1024:
        # Keys close together are counted, which is several times faster than sorting.
        present = np.flatnonzero(np.bincount(keys - low, minlength=high - low + 1))
        places = np.zeros(high - low + 1, dtype=np.int64)
        places[present] = np.arange(len(present))
        return present + low, places[keys - low]
    distinct, inverse = np.unique(keys, return_inverse=True)
    return distinct, inverse
