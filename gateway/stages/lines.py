# SPDX-License-Identifier: Apache-2.0
"""Lines: the order in the queue behind `Batch`.

A line is for requests that may be merged, of one priority and one tenant. The highest priority goes
first; within it the tenant that has been served least, and of that one's lines the one whose head
has waited longest.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from gateway.stages.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.stages.entry import Entry
    from gateway.stages.merge import Class
    from gateway.wire.message import InferRequest

# v2 priorities run from 1, the highest; 0 leaves the choice to the server, which takes the middle.
LEVELS: Final = 3
DEFAULT_LEVEL: Final = 2


class Line:
    """Entries that may share a batch; *kind* is their compatibility class."""

    __slots__ = ("entries", "key", "kind", "level", "rows", "tenant")

    def __init__(self, key: Any, kind: Class, level: int, tenant: str) -> None:  # noqa: ANN401
        self.key = key
        self.kind = kind
        self.level = level
        self.tenant = tenant
        self.rows = 0
        self.entries: deque[Entry] = deque()

    def __repr__(self) -> str:
        return f"<Line {len(self.entries)} at {self.level} of {self.tenant!r}>"

    @property
    def turn(self) -> float:
        """When the head was queued; less than any instant where it goes before all others."""
        head = self.entries[0]
        return head.turn or head.queued_at


class Lines:
    """All lines; *rows* counts what waits, an entry without rows as one: it takes room too."""

    def __init__(self) -> None:
        self._lines: dict[Any, Line] = {}
        self._shares = Shares()
        self._first_turn = 0.0
        self.rows = 0
        self.bytes = 0

    def __repr__(self) -> str:
        return f"<Lines {len(self)} entries, {self.rows} rows, {self.bytes} bytes>"

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __len__(self) -> int:
        return sum([len(line.entries) for line in self._lines.values()])

    def __iter__(self) -> Iterator[Entry]:
        for line in self._lines.values():
            yield from line.entries

    @property
    def oldest(self) -> float:
        """The instant at which the entry that waits longest was queued; must not be empty."""
        return min([line.entries[0].queued_at for line in self._lines.values()])

    @property
    def lowest(self) -> int:
        """The lowest priority that waits, which is the greatest number; must not be empty."""
        return max([line.level for line in self._lines.values()])

    def ahead_of(self, request: InferRequest) -> int:
        """The rows that go before *request*, if it is put at the end of its line."""
        level = level_of(request)
        return sum([line.rows for line in self._lines.values() if line.level <= level])

    def last_below(self, request: InferRequest) -> Entry | None:
        """Who came last of the lowest priority, if that is below the one of *request*."""
        lowest = max(self._lines.values(), key=_importance, default=None)
        if lowest is None or lowest.level <= level_of(request):
            return None
        return lowest.entries[-1]

    def append(self, entry: Entry, kind: Class | None) -> None:
        """Put *entry* at the end of the line of its *kind*; None gives it a line of its own."""
        request = entry.request
        key: Any = (id(entry),) if kind is None else kind
        if request.priority or request.tenant:
            key = (key, level_of(request), request.tenant)
        entry.line = key
        self.rows += entry.rows or 1
        self.bytes += entry.nbytes
        line = self._lines.get(key)
        if line is None:
            line = self._open(key, entry, kind)
        line.rows += entry.rows or 1
        line.entries.append(entry)

    def push_front(self, entry: Entry, kind: Class | None) -> None:
        """Put *entry* before all others of its priority: it has been on its way already."""
        self.append(entry, kind)
        self._lines[entry.line].entries.rotate(1)
        # Before every instant at which anybody was queued.
        self._first_turn = entry.turn = self._first_turn - 1

    def remove(self, entry: Entry) -> None:
        """Take *entry* out, wherever it stands; nothing happens if it is not queued."""
        line = self._lines.get(entry.line)
        if line is None or entry not in line.entries:
            return
        line.entries.remove(entry)
        self._left(line, entry)
        entry.line = None

    def take(
        self,
        rows: int,
        fits: Callable[[float, int], bool] | None = None,
        *,
        newest: bool = False,
    ) -> list[Entry]:
        """The next batch: whoever is next, and up to *rows* rows that may be merged with it.

        An entry larger than *rows* goes alone. *fits* says whether a batch of so many rows would
        be in time for a deadline, None that any is: it ends a batch that would grow too slow for a
        member, unless that one is late in any case. *newest* takes the ends of the lines instead of
        their heads. Must not be called when empty.
        """
        lines = self._lines
        if len(lines) == 1:
            ((key, line),) = lines.items()
            if fits is None and self.rows <= rows and not line.tenant:
                # All that wait.
                del lines[key]
                self.rows = self.bytes = 0
                return list(line.entries)
            like = [line]
        else:
            kind = min(lines.values(), key=self._newest if newest else self._oldest).kind
            like = [line for line in lines.values() if line.kind == kind]
        return self._gather(like, rows, fits, newest=newest)

    def _gather(
        self,
        like: list[Line],
        rows: int,
        fits: Callable[[float, int], bool] | None,
        *,
        newest: bool,
    ) -> list[Entry]:
        """A batch of up to *rows* rows from lines that are *like* each other."""
        batch: list[Entry] = []
        total, tightest = 0, float("inf")
        order = self._newest if newest else self._oldest
        while like:
            line = like[0] if len(like) == 1 else min(like, key=order)
            entries = line.entries
            entry = entries[-1] if newest else entries[0]
            grown = total + entry.rows
            if batch and grown > rows:
                break
            tighter = min(tightest, entry.request.deadline)
            if batch and fits is not None and not fits(tighter, grown) and fits(tightest, total):
                break
            tightest, total = tighter, grown
            batch.append(entry)
            if newest:
                entries.pop()
            else:
                entries.popleft()
            self._shares.serve(line.tenant, entry.rows or 1)
            self._left(line, entry)
            if not entries:
                like.remove(line)
        return batch

    def _left(self, line: Line, entry: Entry) -> None:
        """*entry* does not stand in *line* any more."""
        rows = entry.rows or 1
        line.rows -= rows
        self.rows -= rows
        self.bytes -= entry.nbytes
        if not line.entries:
            del self._lines[line.key]

    def _oldest(self, line: Line) -> tuple[int, float, float]:
        return (line.level, self._shares.of(line.tenant), line.turn)

    def _newest(self, line: Line) -> tuple[int, float, float]:
        return (line.level, self._shares.of(line.tenant), -line.entries[-1].queued_at)

    def _open(self, key: Any, entry: Entry, kind: Class | None) -> Line:  # noqa: ANN401 - of two kinds
        request = entry.request
        tenant = request.tenant
        if not any(line.tenant == tenant for line in self._lines.values()):
            self._shares.start(tenant)
        kind = (id(entry),) if kind is None else kind
        line = self._lines[key] = Line(key, kind, level_of(request), tenant)
        return line


def level_of(request: InferRequest) -> int:
    """The priority of *request*, from 1, the highest, to `LEVELS`."""
    return min(request.priority or DEFAULT_LEVEL, LEVELS)


def _importance(line: Line) -> tuple[int, float]:
    return (line.level, line.entries[-1].queued_at)
