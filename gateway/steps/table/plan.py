# SPDX-License-Identifier: Apache-2.0
"""Plan: what becomes of a table's columns, worked out once, before any row is seen.

All numbers that one act makes are one block, float64 ``[columns, rows]``; a column of text is a
block of its own, a list of bytes. An act reads blocks and makes a new one, and none is ever
written to again: so the columns that nothing happens to are not copied, and an act over thirty
columns is one numpy call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from gateway.errors import InvalidRequest
from gateway.steps.step import Misfit

if TYPE_CHECKING:
    from gateway.wire.tensor import Array

Text: TypeAlias = list[bytes]
Blocks: TypeAlias = list[Any]
Act: TypeAlias = Callable[[Blocks], Any]

# A block of no columns and what could be columns beyond number are mistakes.
MAX_COLUMNS: Final = 65_536


class Place(NamedTuple):
    """Where a column is: row *row* of block *block*.

    *source* is the column that clients send it as, or that it was made of.
    """

    name: str
    source: str
    text: bool
    block: int
    row: int = 0


class Plan:
    """The columns as they are after the acts so far, in order."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.acts: list[Act] = []
        self._heights: list[int] = []

    def __repr__(self) -> str:
        return f"<Plan {', '.join(place.name for place in self.places)}>"

    def given(self, columns: Sequence[tuple[str, bool]]) -> None:
        """Begin with *columns*, name and whether it is text: the numbers are block 0."""
        numbers = [name for name, text in columns if not text]
        self._heights = [len(numbers)]
        for name, text in columns:
            if text:
                self.places.append(Place(name, name, text, len(self._heights)))
                self._heights.append(1)
            else:
                self.places.append(Place(name, name, text, 0, numbers.index(name)))

    def chosen(self, names: Sequence[str], *, text: bool | None) -> list[Place]:
        """The columns *names*, all of that type for none; *text* None is for both types.

        Raises Misfit for a name that is no column here, and for one of the other type.
        """
        if not names:
            found = [place for place in self.places if text is None or place.text is text]
            if not found:
                raise Misfit(f"no column is {'text' if text else 'a number'} here")
            return found
        by_name = {place.name: place for place in self.places}
        chosen = []
        for name in names:
            place = by_name.get(name)
            if place is None:
                raise Misfit(f"there is no column '{name}' here, only {_some(list(by_name))}")
            if text is not None and place.text is not text:
                raise Misfit(
                    f"column '{name}' is {'text' if place.text else 'a number'} here, "
                    f"expected {'text' if text else 'a number'}"
                )
            chosen.append(place)
        if len(set(names)) != len(names):
            raise Misfit("a column stands twice under 'columns'")
        return chosen

    def replace(
        self,
        places: Sequence[Place],
        act: Act,
        made: Sequence[Sequence[str]] | None = None,
        *,
        text: bool = False,
        keep: bool = False,
    ) -> None:
        """Put what *act* makes in the place of *places*, or behind the last column to *keep* them.

        *made* has the names of the new columns for each of *places*, in the order of the rows of
        the new block; without it every column keeps its name. A *text* act makes one column.
        """
        names = made if made is not None else [[place.name] for place in places]
        block = self._added(act, sum(len(each) for each in names))
        fresh: dict[str, list[Place]] = {}
        row = 0
        for place, each in zip(places, names, strict=True):
            fresh[place.name] = []
            for name in each:
                fresh[place.name].append(Place(name, place.source, text, block, row))
                row += 1
        if keep:
            self.places += [place for each in fresh.values() for place in each]
        else:
            self.places = [new for old in self.places for new in fresh.get(old.name, [old])]
        self._check_names()

    def alias(self, places: Sequence[Place], names: Sequence[str]) -> None:
        """The columns *places* again, under *names*, behind the last one; raises Misfit."""
        if len(places) != len(names):
            raise Misfit(f"{len(names)} names for {len(places)} columns")
        for place, name in zip(places, names, strict=True):
            self.places.append(place._replace(name=name, source=name))
        self._check_names()

    def numbers(self, places: Sequence[Place]) -> Callable[[Blocks], Array]:
        """A function of the blocks that gives the columns *places* as float64 ``[columns, rows]``.

        What it gives may be a block itself: not to be written to.
        """
        parts = [
            self._part(block, [place.row for place in group])
            for block, group in groupby(places, lambda place: place.block)
        ]
        if len(parts) == 1:
            return parts[0]
        return lambda blocks: np.concatenate([part(blocks) for part in parts])

    def _part(self, block: int, rows: list[int]) -> Callable[[Blocks], Array]:
        start, stop = rows[0], rows[-1] + 1
        if rows == list(range(start, stop)):
            if start == 0 and stop == self._heights[block]:
                return lambda blocks: blocks[block]
            return lambda blocks: blocks[block][start:stop]
        index = np.array(rows)
        return lambda blocks: blocks[block][index]

    def _added(self, act: Act, height: int) -> int:
        if height > MAX_COLUMNS:
            raise Misfit(f"it makes {height} columns, more than {MAX_COLUMNS}")
        self.acts.append(act)
        self._heights.append(height)
        return len(self._heights) - 1

    def _check_names(self) -> None:
        seen: set[str] = set()
        for place in self.places:
            if place.name in seen:
                raise Misfit(f"there are two columns '{place.name}' behind it")
            seen.add(place.name)

    def picked(self, names: Sequence[str]) -> list[Place]:
        """The columns that *names* stand for: by name, by source, or as shell patterns."""
        picked: list[Place] = []
        for name in names:
            found = [place for place in self.places if place.name == name]
            found = found or [place for place in self.places if place.source == name]
            if not found and any(letter in name for letter in "*?["):
                found = [place for place in self.places if fnmatchcase(place.name, name)]
            if not found:
                there = _some([place.name for place in self.places])
                raise Misfit(f"there is no column '{name}' behind the operations, only {there}")
            picked += found
        return picked


def refuse(faulty: Array, values: Array, names: Sequence[str], wanted: str) -> InvalidRequest:
    """The refusal of the first of *values* where *faulty* is true, both ``[columns, rows]``."""
    row, column = np.argwhere(faulty.T)[0]
    value = float(values[column, row])
    return InvalidRequest(f"row {row}, column '{names[column]}': {value:.6g} given, {wanted}")


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(f"'{name}'" for name in names[:12])
    return listed if len(names) <= 12 else f"{listed} and {len(names) - 12} more"
