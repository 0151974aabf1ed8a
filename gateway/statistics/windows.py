# SPDX-License-Identifier: Apache-2.0
"""Windows: states by prediction time, of which any stretch is merged when somebody asks.

A row counts where its prediction belongs, however late its label comes, so that the order in which
labels arrive changes nothing. Recent times are kept by minute, older ones by hour, then by day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, Self, TypeVar

import numpy as np

from gateway.statistics.arrays import Floats, Integers, Values, pack_array, unpack_array

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86400.0
# Bucket width, and the age up to which buckets of that width are kept, both in seconds. Each reach
# is longer than the window that it serves: 1 h, 24 h, 30 d.
_TIERS: Final = ((MINUTE, 2 * HOUR), (HOUR, 3 * DAY), (DAY, 35 * DAY))


class State(Protocol):
    """What a bucket holds: sums that add, take away, copy, and travel."""

    @property
    def add(self) -> Callable[..., None]:
        """Count rows: columns, each its own, and by keyword the sign."""

    def merge(self, other: Any, sign: int = 1) -> None:  # noqa: ANN401 - its own kind
        """Add or take away another state."""

    def copy(self) -> Any:  # noqa: ANN401 - its own kind
        """The same, apart."""

    def pack(self) -> dict[str, Any]:
        """Plain data."""


S = TypeVar("S", bound=State)


@dataclass(frozen=True, slots=True)
class Window(Generic[S]):
    """The merged *state* of predictions made from *since* up to *until*, in seconds."""

    state: S
    since: float
    until: float
    revision: int


class Windows(Generic[S]):
    """Buckets of states that *make* gives, by the time of the prediction.

    Times are seconds since the epoch. Nothing here reads a clock: *now* is an argument.
    """

    def __init__(self, make: Callable[[], S]) -> None:
        self._make = make
        # By (width, start): how the tiers stay apart.
        self._buckets: dict[tuple[float, float], S] = {}
        self._marks: dict[str, tuple[float, S]] = {}
        self._revision = 0
        self.expired = 0

    def __repr__(self) -> str:
        return f"<Windows of {len(self._buckets)} buckets>"

    def add(self, times: Values, *columns: Any, now: float, sign: int = 1) -> int:  # noqa: ANN401 - the state's
        """Count rows predicted at *times* [n]; *columns* [n] are those of the state, or None.

        Returns how many rows were too old to be counted; they add to `expired`.
        """
        instants = np.asarray(times, dtype=np.float64)
        starts, widths = self._places(instants, now)
        old = int((widths == 0).sum())
        self.expired += old * (sign > 0)
        order = np.lexsort((starts, widths))
        edges = np.flatnonzero(np.diff(widths[order]) != 0) + 1
        edges = np.union1d(edges, np.flatnonzero(np.diff(starts[order]) != 0) + 1)
        for part in np.split(order, edges.astype(np.int64)):
            if len(part) and widths[part[0]]:
                key = (float(widths[part[0]]), float(starts[part[0]]))
                state = self._buckets.get(key)
                if state is None:
                    state = self._buckets[key] = self._make()
                state.add(*(_take(column, part) for column in columns), sign=sign)
        for since, state in self._marks.values():
            part = np.flatnonzero(instants >= since)
            if len(part):
                state.add(*(_take(column, part) for column in columns), sign=sign)
        self._revision += 1
        return old

    def sort_in(self, times: Values, *, now: float, sign: int = 1) -> tuple[list[S], Integers]:
        """The states that rows predicted at *times* [n] belong to, and the place of each row's.

        -1 is that of rows that are too old to be counted; they add to `expired`. For callers that
        add to many states at once; rows since a mark are theirs to add as well.
        """
        instants = np.asarray(times, dtype=np.float64)
        starts, widths = self._places(instants, now)
        which = np.full(len(instants), -1, dtype=np.int64)
        states: list[S] = []
        for width, _ in _TIERS:
            mine = widths == width
            distinct, places = np.unique(starts[mine], return_inverse=True)
            which[mine] = places + len(states)
            for start in distinct.tolist():
                state = self._buckets.get((width, start))
                if state is None:
                    state = self._buckets[width, start] = self._make()
                states.append(state)
        self.expired += int((which < 0).sum()) * (sign > 0)
        self._revision += 1
        return states, which

    @staticmethod
    def _places(instants: Floats, now: float) -> tuple[Floats, Floats]:
        """Start and width of the bucket of each instant; width 0 for what is too old."""
        starts, widths = np.zeros(len(instants)), np.zeros(len(instants))
        for width, _ in reversed(_TIERS):
            # The edge of a tier lies on a bucket of the next one, so that no stretch is in two.
            inside = instants >= _edge(width, now)
            starts[inside] = np.floor(instants[inside] / width) * width
            widths[inside] = width
        return starts, widths

    def fold(self, now: float) -> None:
        """Merge what has grown old into wider buckets, and drop what is older than all windows."""
        for (width, start), state in sorted(self._buckets.items(), key=lambda item: item[0]):
            if start >= _edge(width, now):
                continue
            del self._buckets[width, start]
            wider = next((each for each, _ in _TIERS if each > width
                          and start >= _edge(each, now)), None)  # fmt: skip
            if wider is None:
                continue
            key = (wider, float(np.floor(start / wider) * wider))
            if key in self._buckets:
                self._buckets[key].merge(state)
            else:
                self._buckets[key] = state

    def window(self, seconds: float, now: float) -> Window[S]:
        """The last *seconds*; it starts at the start of a bucket, up to a bucket earlier."""
        return self.since(now - seconds, now)

    def start(self, instant: float, now: float) -> float:
        """Where the bucket that holds *instant* starts, after what is old has been folded."""
        self.fold(now)
        width = next((each for each, _ in _TIERS if instant >= _edge(each, now)), DAY)
        return float(np.floor(instant / width) * width)

    def since(self, instant: float, now: float) -> Window[S]:
        """All since *instant*, in whole buckets: from the start of the one that holds it."""
        start = self.start(instant, now)
        merged = self._make()
        for (_, begun), state in self._buckets.items():
            if begun >= start:
                merged.merge(state)
        return Window(merged, start, now, self._revision)

    def mark(self, name: str, instant: float) -> None:
        """Start to count all predictions from *instant* on under *name*, to the second.

        A promotion is one: rows before it that stand in the same minute are left out.
        """
        self._marks[name] = (instant, self._make())

    def marked(self, name: str) -> tuple[float, S] | None:
        """When the mark *name* was set and what has been counted since, None for no such mark."""
        return self._marks.get(name)

    def since_mark(self, name: str, now: float) -> Window[S]:
        """All since the mark *name*; raises KeyError for an unknown one."""
        instant, state = self._marks[name]
        return Window(state.copy(), instant, now, self._revision)

    def merge(self, other: Windows[S], sign: int = 1) -> None:
        """Add the buckets of another process, which has the same marks."""
        if {name: mark[0] for name, mark in self._marks.items()} != {
            name: mark[0] for name, mark in other._marks.items()
        }:
            raise ValueError("windows with other marks do not merge")
        for key, state in other._buckets.items():
            self._buckets.setdefault(key, self._make()).merge(state, sign)
        for name, (_, state) in other._marks.items():
            self._marks[name][1].merge(state, sign)
        self._revision += 1

    def __iter__(self) -> Iterator[tuple[float, float, S]]:
        """Start, width and state of every bucket, the oldest first."""
        for (width, start), state in sorted(self._buckets.items(), key=lambda item: item[0][1]):
            yield start, width, state

    def pack(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "buckets": [[width, start, state.pack()]
                        for (width, start), state in self._buckets.items()],
            "marks": {name: [at, state.pack()] for name, (at, state) in self._marks.items()},
            "revision": self._revision,
            "expired": self.expired,
        }  # fmt: skip

    @classmethod
    def unpack(
        cls, packed: dict[str, Any], make: Callable[[], S], unpack: Callable[[dict[str, Any]], S]
    ) -> Self:
        """What `pack` gave; *unpack* is that of the states."""
        windows = cls(make)
        windows._buckets = {
            (width, start): unpack(state) for width, start, state in packed["buckets"]
        }
        windows._marks = {
            name: (at, unpack(state)) for name, (at, state) in packed["marks"].items()
        }
        windows._revision, windows.expired = packed["revision"], packed["expired"]
        return windows


def _edge(width: float, now: float) -> float:
    """The oldest instant that buckets of *width* hold."""
    place = [each for each, _ in _TIERS].index(width)
    wider = _TIERS[min(place + 1, len(_TIERS) - 1)][0]
    return float(np.floor((now - _TIERS[place][1]) / wider) * wider)


def _take(column: Any, part: Values) -> Any:  # noqa: ANN401 - an array or None
    return None if column is None else column[part]


class LastRows:
    """The last *size* rows by prediction time, exactly, whatever the order of arrival.

    Rows have a *key* each, by which a correction takes the old row out; of equal times the greater
    key is the later row.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"last {size} rows: expected 1 or more")
        self._size = size
        self._times: Values = np.empty(0)
        self._keys: Values = np.empty(0, dtype=np.int64)
        self._columns: list[Values] | None = None

    def add(self, times: Values, keys: Values, *columns: Values) -> None:
        """Take rows in; all arrays are [n, ...]. A key that is there already is replaced."""
        if self._columns is None:
            self._columns = [column[:0] for column in columns]
        kept = ~np.isin(self._keys, keys)
        self._times = np.concatenate((self._times[kept], times))
        self._keys = np.concatenate((self._keys[kept], keys))
        self._columns = [np.concatenate((old[kept], new))
                         for old, new in zip(self._columns, columns, strict=True)]  # fmt: skip
        # Sorting now and then only: twice the rows are kept.
        if len(self._times) > 2 * self._size:
            self._cut()

    def _cut(self) -> None:
        order = np.lexsort((self._keys, self._times))[-self._size :]
        self._times, self._keys = self._times[order], self._keys[order]
        self._columns = [column[order] for column in self._columns or ()]

    def discard(self, keys: Values) -> None:
        """Take rows out whose label was taken back. Older ones do not come back for them."""
        kept = ~np.isin(self._keys, keys)
        self._times, self._keys = self._times[kept], self._keys[kept]
        self._columns = self._columns and [column[kept] for column in self._columns]

    def rows(self) -> tuple[Values, ...]:
        """The columns of the last rows, in the order of prediction."""
        return self.timed_rows()[1]

    def timed_rows(self) -> tuple[Values, tuple[Values, ...]]:
        """The times of the last rows, and `rows`."""
        self._cut()
        return self._times, tuple(self._columns or ())

    def pack(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "size": self._size,
            "times": pack_array(self._times),
            "keys": pack_array(self._keys),
            "columns": [pack_array(column) for column in self._columns or ()],
        }

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Self:
        """What `pack` gave."""
        rows = cls(packed["size"])
        rows._times, rows._keys = unpack_array(packed["times"]), unpack_array(packed["keys"])
        rows._columns = [unpack_array(column) for column in packed["columns"]] or None
        return rows
