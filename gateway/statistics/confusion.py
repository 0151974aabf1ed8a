# SPDX-License-Identifier: Apache-2.0
"""Confusion matrix: the one state of everything that is said about classes without scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from gateway.statistics.arrays import (
    Floats,
    Integers,
    Values,
    pack_array,
    same_rows,
    unpack_array,
    weights_of,
)
from gateway.statistics.sums import Sums

# A cell's key is true class * this + predicted class.
_ROW: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class Matrix:
    """A confusion matrix as arrays: row by true class, column by predicted class.

    *classes* [C]: the first *listed* ones are those that averages go over; the others were met
    although no configuration names them. *counts*, *weights* and *squares* are [C, C]: rows, their
    weights, and the squares of their weights.
    """

    classes: Values
    listed: int
    counts: Integers
    weights: Floats
    squares: Floats

    @classmethod
    def of(cls, counts: Values, classes: Values | None = None) -> Matrix:
        """*counts* [C, C] of rows that weigh 1 each."""
        whole = np.asarray(counts).astype(np.int64)
        names = np.arange(len(whole)) if classes is None else classes
        weights = whole.astype(np.float64)
        return cls(names, len(names), whole, weights, weights)

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return int(self.counts.sum())


class ConfusionMatrix:
    """Counts pairs of true and predicted class as they come.

    *classes*, in the order wanted, are those that averages go over, whether they occur or not.
    Without them, averages go over all that occur, sorted: scikit-learn's default, by which one
    strange prediction changes a macro average.
    """

    def __init__(self, classes: Iterable[int] | Iterable[str] | None = None) -> None:
        names = [] if classes is None else list(classes)
        if len(set(names)) != len(names):
            raise ValueError("a class that is listed twice")
        self._listed = len(names)
        self._open = classes is None
        self._codes: dict[Any, int] = {name: code for code, name in enumerate(names)}
        self._cells = Sums(3)

    def __repr__(self) -> str:
        return f"<ConfusionMatrix of {len(self._codes)} classes, {self.rows} rows>"

    @property
    def rows(self) -> int:
        """How many rows are counted."""
        return int(self._cells.table[:, 0].sum())

    def add(
        self, true: Values, predicted: Values, weights: Values | None = None, *, sign: int = 1
    ) -> None:
        """Count rows: *true*, *predicted* and *weights* are [n]; *sign* -1 takes them back.

        Classes are whole numbers or text, of one kind. Raises ValueError for other shapes or kinds.
        """
        true, predicted = np.asarray(true), np.asarray(predicted)
        same_rows("predicted classes", predicted, len(true))
        weight = weights_of(weights, len(true))
        keys = self._encode(true) * _ROW + self._encode(predicted)
        self._cells.add(keys, weight, weight * weight, sign=sign)

    def _encode(self, values: Values) -> Integers:
        if values.ndim != 1 or values.dtype.kind not in "biuUS":
            raise ValueError(
                f"classes of {values.dtype} {list(values.shape)}; expected one whole number or "
                "text a row"
            )
        if not len(values):
            return np.empty(0, dtype=np.int64)
        if values.dtype.kind in "biu" and self._plain():
            whole = values.astype(np.int64)
            if whole.min() >= 0 and whole.max() < self._listed:
                return whole
        distinct, places = np.unique(values, return_inverse=True)
        codes = self._codes
        for name in distinct.tolist():
            if codes and isinstance(name, str) != isinstance(next(iter(codes)), str):
                raise ValueError(f"class {name!r} beside classes such as {next(iter(codes))!r}")
            codes.setdefault(name, len(codes))
        return np.asarray([codes[name] for name in distinct.tolist()], dtype=np.int64)[places]

    def _plain(self) -> bool:
        """Whether the listed classes are 0, 1, 2 and so on: their own codes."""
        codes = self._codes
        return bool(self._listed) and codes.get(0) == 0 and codes.get(self._listed - 1) == (
            self._listed - 1
        ) and all(codes.get(code) == code for code in range(self._listed))  # fmt: skip

    def merge(self, other: Self, sign: int = 1) -> None:
        """Add what *other* counted; with *sign* -1 take it away.

        Raises ValueError where the listed classes differ.
        """
        if self._head() != other._head() or self._open != other._open:
            raise ValueError("confusion matrices of other classes")
        for name in other._codes:
            self._codes.setdefault(name, len(self._codes))
        moved = np.asarray([self._codes[name] for name in other._codes], dtype=np.int64)
        cells = other._cells.copy()
        if len(cells.keys):
            keys = moved[cells.keys // _ROW] * _ROW + moved[cells.keys % _ROW]
            order = np.argsort(keys)
            cells.keys, cells.table = keys[order], cells.table[order]
        self._cells.merge(cells, sign)

    def _head(self) -> list[Any]:
        return list(self._codes)[: self._listed]

    def matrix(self) -> Matrix:
        """All counts as arrays; classes that are not listed come last, sorted."""
        keys = self._cells.keys
        true, predicted = keys // _ROW, keys % _ROW
        names = list(self._codes)
        met = set(np.union1d(true, predicted).tolist())
        strangers = sorted(
            (code for code in met if code >= self._listed), key=lambda code: names[code]
        )
        order = [*range(self._listed), *strangers]
        size = len(order)
        place = np.zeros(max(len(names), 1), dtype=np.int64)
        place[order] = np.arange(size)
        shape = (size, size)
        tables = [np.zeros(shape) for _ in range(3)]
        for table, column in zip(tables, self._cells.table.T, strict=True):
            table[place[true], place[predicted]] = column
        kept = [names[code] for code in order]
        return Matrix(
            classes=np.asarray(kept) if kept else np.empty(0, dtype=np.int64),
            listed=size if self._open else self._listed,
            counts=tables[0].astype(np.int64),
            weights=tables[1],
            squares=tables[2],
        )

    def copy(self) -> Self:
        """The same counts, apart."""
        same = type(self)(None if self._open else self._head())
        same.merge(self)
        return same

    def pack(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "classes": pack_array(np.asarray(list(self._codes) or np.empty(0, np.int64))),
            "listed": self._listed,
            "open": self._open,
            "cells": self._cells.pack(),
        }

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Self:
        """What `pack` gave."""
        names = unpack_array(packed["classes"]).tolist()
        matrix = cls(None if packed["open"] else names[: packed["listed"]])
        matrix._codes = {name: code for code, name in enumerate(names)}
        matrix._cells = Sums.unpack(packed["cells"])
        return matrix
