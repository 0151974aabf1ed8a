# SPDX-License-Identifier: Apache-2.0
"""Cube: what a bucket of time holds, tables of sums by cohort and by a key of the table's own.

All tables of a row are added in one pass over all cohorts; which cohorts count is decided when the
tables are read, where the buckets of a window are added up at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

import numpy as np

from gateway.statistics.arrays import Booleans, Integers, Values
from gateway.statistics.sums import Sums

QUESTIONS: Final = "questions"
# Keys of questions are the upper bits of their digests; so many are followed in a bucket.
QUESTION_BITS: Final = 46
MOST_QUESTIONS: Final = 2048
_DENSE: Final = 1 << 14
# More than there are cohorts.
_COHORTS: Final = 2048


@dataclass(frozen=True, slots=True)
class Entry:
    """Rows for the table *name*: *keys* [n * r], row by row, and *columns* [n * r] each.

    *rows* [n] says which rows they are of, all where it is None.
    """

    name: str
    keys: Integers
    columns: tuple[Values, ...]
    rows: Booleans | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """The tables of a cube: by name how many keys a cohort has at most, and how many columns.

    *entries* makes of the columns of rows what the tables add.
    """

    tables: dict[str, tuple[int, int]]
    entries: Callable[..., Iterator[Entry]]


class Cube:
    """Sums by cohort and key, in the tables of *layout*; a `gateway.statistics.windows.State`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.sums = {name: Sums(width) for name, (_, width) in layout.tables.items()}
        # Questions whose digest is below this are followed.
        self.bound = 1 << QUESTION_BITS

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(sums.keys)}" for name, sums in self.sums.items())
        return f"<Cube {sizes}>"

    @property
    def size(self) -> int:
        """What the tables take, in bytes."""
        return sum(sums.keys.nbytes + sums.table.nbytes for sums in self.sums.values())

    def add(self, cohort: Integers, *columns: Any, sign: int = 1) -> None:  # noqa: ANN401 - the layout's
        """Count rows: *cohort* [n], and *columns* [n, ...] that the layout understands, or None."""
        add_to_all([self], np.zeros(len(cohort), dtype=np.int64), cohort, *columns, sign=sign)

    @property
    def layout(self) -> Layout:
        """What its tables are."""
        return self._layout

    def follow(self, keys: Integers, columns: tuple[Values, ...], sign: int) -> None:
        """Count rows of questions: *keys* [n] are those of cohort and digest together."""
        kept = (keys & ((1 << QUESTION_BITS) - 1)) < self.bound
        self.sums[QUESTIONS].add(keys[kept], *(column[kept] for column in columns), sign=sign)
        self._trim()

    def _trim(self) -> None:
        """Follow fewer questions where they are too many: those of the smaller digests."""
        sums = self.sums.get(QUESTIONS)
        if sums is None or len(sums.keys) <= MOST_QUESTIONS:
            return
        digests = sums.keys & ((1 << QUESTION_BITS) - 1)
        self._follow(int(np.partition(digests, MOST_QUESTIONS // 2)[MOST_QUESTIONS // 2]))

    def _follow(self, bound: int) -> None:
        """Keep the questions below *bound* alone."""
        self.bound = bound
        sums = self.sums[QUESTIONS]
        kept = (sums.keys & ((1 << QUESTION_BITS) - 1)) < bound
        sums.keys, sums.table = sums.keys[kept], sums.table[kept]

    def merge(self, other: Self, sign: int = 1) -> None:
        """Add what *other* holds; with *sign* -1 take it away."""
        for name, sums in self.sums.items():
            sums.merge(other.sums[name], sign)
        if other.bound != self.bound:
            self._follow(min(self.bound, other.bound))
        self._trim()

    def copy(self) -> Self:
        """The same sums, apart."""
        same = type(self)(self._layout)
        same.merge(self)
        return same

    def pack(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "sums": {name: sums.pack() for name, sums in self.sums.items() if len(sums.keys)},
            "bound": self.bound,
        }


def add_to_all(
    cubes: list[Cube],
    which: Integers,
    cohort: Integers,
    *columns: Any,  # noqa: ANN401 - the layout's
    sign: int = 1,
) -> None:
    """Count rows, each in the cube at its place *which* [n]; all cubes are of one layout.

    Rows are sorted once for all cubes: late labels of an hour are of sixty buckets.
    """
    if not cubes or not len(which):
        return
    layout = cubes[0].layout
    for entry in layout.entries(*columns):
        span, width = layout.tables[entry.name]
        whose, where = cohort, which
        if entry.rows is not None:
            whose, where = cohort[entry.rows], which[entry.rows]
        times = len(entry.keys) // max(len(whose), 1)
        if times > 1:
            whose, where = np.repeat(whose, times), np.repeat(where, times)
        keys = whose * span + entry.keys
        if entry.name == QUESTIONS:
            # Their keys leave no room for the place of a cube.
            for place in np.unique(where).tolist():
                mine = where == place
                cubes[place].follow(keys[mine], tuple(each[mine] for each in entry.columns), sign)
            continue
        each = span * _COHORTS
        total = Sums(width)
        total.add(where * each + keys, *entry.columns)
        edges = np.searchsorted(total.keys, np.arange(len(cubes) + 1) * each)
        for place, cube in enumerate(cubes):
            part = slice(edges[place], edges[place + 1])
            cube.sums[entry.name].join(total.keys[part] - place * each, total.table[part], sign)


# A cube with the cohorts that count of it, None for all.
Part: TypeAlias = "tuple[Cube, list[int] | None]"


@dataclass(frozen=True, slots=True)
class Gathered:
    """Tables added up over buckets and chosen cohorts, by the table's own keys.

    *share* is the part of all questions that is followed.
    """

    tables: dict[str, Sums]
    share: float

    def __getitem__(self, name: str) -> Sums:
        return self.tables[name]

    def total(self, name: str) -> Values:
        """The sums of a table over all of its keys."""
        total: Values = self.tables[name].table.sum(axis=0)
        return total


def gather(parts: Iterable[Part], layout: Layout, names: Iterable[str] | None = None) -> Gathered:
    """Add up the tables *names*, all by default, of cubes, each over the cohorts beside it.

    Everything is sorted once, however many buckets there are.
    """
    pairs = list(parts)
    bound = min((cube.bound for cube, _ in pairs), default=1 << QUESTION_BITS)
    # By the cohorts that count: nearly always the same for all.
    chosen: dict[int, tuple[list[int] | None, list[Cube]]] = {}
    for cube, cohorts in pairs:
        chosen.setdefault(id(cohorts), (cohorts, []))[1].append(cube)
    tables = {}
    for name in layout.tables if names is None else names:
        span, width = layout.tables[name]
        keys, rows = [], []
        for cohorts, cubes in chosen.values():
            local, table = stacked([cube.sums[name] for cube in cubes], span, cohorts)
            if name == QUESTIONS:
                kept = local < bound
                local, table = local[kept], table[kept]
            keys.append(local)
            rows.append(table)
        total = Sums(width)
        if keys:
            total.keys, total.table = _added(np.concatenate(keys), np.concatenate(rows), span)
        tables[name] = total
    return Gathered(tables, bound / (1 << QUESTION_BITS))


def stacked(tables: list[Sums], span: int, cohorts: list[int] | None) -> tuple[Integers, Values]:
    """The rows of all *tables* below one another, of *cohorts*, by key without the cohort."""
    keys = np.concatenate([each.keys for each in tables])
    rows = np.concatenate([each.table for each in tables])
    if cohorts is None:
        return keys % span, rows
    wanted = np.zeros(_COHORTS, dtype=bool)
    wanted[cohorts] = True
    kept = wanted[keys // span]
    return keys[kept] % span, rows[kept]


def _added(keys: Integers, rows: Values, span: int) -> tuple[Integers, Values]:
    """The distinct *keys*, sorted, and the sum of the *rows* of each; keys without rows go."""
    if not len(keys):
        return keys, rows
    if span <= _DENSE:
        # Few keys are counted, which is several times faster than sorting.
        columns = [np.bincount(keys, weights=each, minlength=span) for each in rows.T]
        present = np.flatnonzero(columns[0])
        return present, np.column_stack([each[present] for each in columns])
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    added = np.add.reduceat(rows[order], starts, axis=0)
    kept = added[:, 0] != 0
    return ordered[starts][kept], added[kept]


def question_entries(question: Integers, weight: Values, outcome: Values) -> Iterator[Entry]:
    """Entries for the tables of questions and of rows that are one of their own, "alone".

    *question* [n] is the digest's upper bits, -1 for none; *outcome* [n] what the mean is taken of.
    """
    known = question >= 0
    if known.any():
        w, y = weight[known], outcome[known]
        yield Entry(QUESTIONS, question[known], (w, w * y, w * y * y, w * w), known)
    if not known.all():
        w, y = weight[~known], outcome[~known]
        ww = w * w
        columns = (w, w * y, w * y * y, ww, ww * y, ww * y * y)
        yield Entry("alone", np.zeros(len(w), dtype=np.int64), columns, ~known)
