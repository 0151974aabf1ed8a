# SPDX-License-Identifier: Apache-2.0
"""Cells: where one label set of a metric is counted, and families: the cells of one metric.

A stage binds its cells when it is built, so that a request pays an addition and no look-up.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from gateway.telemetry.snapshot import FamilySnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from gateway.telemetry.snapshot import Across, Kind

UNKNOWN: Final = "unknown"
# From here on numpy is faster than a loop.
_MANY: Final = 256


class Cell(Protocol):
    """One label set's state, as numbers that merge element by element."""

    def numbers(self) -> list[float]:
        """The state: one value, or for a histogram its sum and then its counts by bucket."""
        ...

    def add(self, numbers: Sequence[float]) -> None:
        """Go on from *numbers*, which an earlier life of this process has left."""
        ...


class SumCell:
    """A counter's value; it only grows: ``cell.value += 1``."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def __repr__(self) -> str:
        return f"<SumCell {self.value}>"

    def numbers(self) -> list[float]:
        """The value alone."""
        return [self.value]

    def add(self, numbers: Sequence[float]) -> None:
        """Add an earlier value."""
        self.value += numbers[0]


class GaugeCell(SumCell):
    """A gauge's value: ``cell.value = x``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<GaugeCell {self.value}>"


class HistogramCell:
    """Counts of observed values by bucket, and their sum.

    *bounds* are inclusive upper limits in ascending order; what is above the last one is counted
    too. `observe` only puts a value aside, at a third of what finding its bucket costs: whoever
    reads the cell has all of them sorted at once. A process that observes must therefore read now
    and then, or `settle`; the board reads every second.
    """

    __slots__ = ("_aside", "_counts", "_sum", "bounds", "observe")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum: float = 0
        self._aside: list[float] = []
        # Count a value, in the family's unit.
        self.observe: Callable[[float], None] = self._aside.append

    def __repr__(self) -> str:
        return f"<HistogramCell count={sum(self.counts)} sum={self.sum}>"

    @property
    def counts(self) -> list[int]:
        """How many values there were by bucket."""
        self._sort()
        return self._counts

    @property
    def sum(self) -> float:
        """The sum of all values."""
        self._sort()
        return self._sum

    def numbers(self) -> list[float]:
        """The sum, then the count of each bucket."""
        return [self.sum, *self.counts]

    def settle(self) -> None:
        """Sort what was put aside, where it is much; a hundred thousand at once would be felt."""
        if len(self._aside) >= _MANY:
            self._sort()

    def add(self, numbers: Sequence[float]) -> None:
        """Add an earlier sum and counts."""
        self._sum += numbers[0]
        for bucket, count in enumerate(numbers[1:]):
            self._counts[bucket] += int(count)

    def _sort(self) -> None:
        values = self._aside.copy()
        # In place: `observe` is bound to this very list.
        del self._aside[: len(values)]
        self._sum += sum(values)
        if len(values) < _MANY:
            for value in values:
                self._counts[bisect_left(self.bounds, value)] += 1
            return
        import numpy as np  # noqa: PLC0415 - the supervisor counts little and starts sooner without

        buckets = np.searchsorted(self.bounds, values, side="left")
        for bucket, count in enumerate(np.bincount(buckets, minlength=len(self._counts))):
            self._counts[bucket] += int(count)


C = TypeVar("C", bound=Cell)


class Family(Generic[C]):
    """One metric: a *name* with its unit, and a cell for each combination of label values.

    *labels* are the label names. *models* closes the label ``model``: any other name is counted
    as ``unknown``, so that a caller cannot make series up. *across* says how the values of several
    processes become one. *resumes*: a restarted process goes on from its last values.
    """

    __slots__ = ("_make", "_models", "across", "bounds", "cells", "help", "kind", "labels", "name",
                 "resumes")  # fmt: skip

    def __init__(
        self,
        name: str,
        help_text: str,
        labels: tuple[str, ...],
        *,
        kind: Kind,
        make: Callable[[], C],
        models: Collection[str],
        across: Across = "sum",
        bounds: tuple[float, ...] = (),
        resumes: bool = False,
    ) -> None:
        self.name = name
        self.help = help_text
        self.labels = labels
        self.kind: Kind = kind
        self.across: Across = across
        self.bounds = bounds
        self.resumes = resumes
        self.cells: dict[tuple[str, ...], C] = {}
        self._make = make
        self._models = models

    def __repr__(self) -> str:
        return f"<Family {self.name}{{{','.join(self.labels)}}} {len(self.cells)} cells>"

    def cell(self, *values: str) -> C:
        """The cell of these label values, in the order of *labels*; ValueError on a wrong count."""
        if len(values) != len(self.labels):
            raise ValueError(
                f"{self.name}: {len(values)} label values {values}, expected one each for "
                f"{self.labels}"
            )
        if self.labels and self.labels[0] == "model" and values[0] not in self._models:
            values = (UNKNOWN, *values[1:])
        cell = self.cells.get(values)
        if cell is None:
            cell = self.cells[values] = self._make()
        return cell

    def drop(self, *values: str) -> None:
        """Forget a cell whose subject is gone; nothing happens where there is none."""
        self.cells.pop(values, None)

    def snapshot(self) -> FamilySnapshot:
        """What this process has counted until now."""
        return FamilySnapshot(
            name=self.name,
            kind=self.kind,
            help=self.help,
            labels=self.labels,
            across=self.across,
            bounds=self.bounds,
            samples=[(values, cell.numbers()) for values, cell in self.cells.items()],
        )

    def resume(self, earlier: FamilySnapshot) -> None:
        """Go on from *earlier*; what no longer fits this family is left out."""
        if not self.resumes or (earlier.labels, earlier.bounds) != (self.labels, self.bounds):
            return
        expected = len(self.bounds) + 2 if self.kind == "histogram" else 1
        for values, numbers in earlier.samples:
            known = not self.labels or self.labels[0] != "model" or values[0] in self._models
            if len(values) == len(self.labels) and len(numbers) == expected:
                cell = self.cell(*values) if known else self.cell(UNKNOWN, *values[1:])
                cell.add(numbers)
