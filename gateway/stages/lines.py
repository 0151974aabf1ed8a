# SPDX-License-Identifier: Apache-2.0
"""Lines: the queue behind `Batch`, one line for each class of requests that may be merged."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from gateway.stages.merge import Class
    from gateway.wire.message import InferRequest, InferResponse


class Entry(msgspec.Struct, eq=False, gc=False):
    """A request that waits; *flight* is set while it is on its way.

    Made by `enqueued`, which fills in the size.
    """

    request: InferRequest
    future: asyncio.Future[InferResponse]
    queued_at: float
    rows: int
    nbytes: int
    flight: Any = None
    line: Class | None = None
    turn: int = 0
    returns: int = 0
    alone: bool = False

    def __repr__(self) -> str:
        return f"<Entry {self.request!r} {'waits' if self.waits else 'done'}>"

    @property
    def waits(self) -> bool:
        """Somebody still wants the answer."""
        return not self.future.done()

    def answer(self, response: InferResponse) -> None:
        """Hand *response* to whoever waits, if anybody."""
        if not self.future.done():
            self.future.set_result(response)

    def fail(self, error: BaseException) -> None:
        """Raise *error* where the answer is awaited, if it is."""
        if not self.future.done():
            self.future.set_exception(error)


def enqueued(
    request: InferRequest, future: asyncio.Future[InferResponse], queued_at: float
) -> Entry:
    """The entry of *request*, with its rows and bytes."""
    inputs = request.inputs
    if len(inputs) == 1:
        tensor = inputs[0]
        shape = tensor.shape
        return Entry(request, future, queued_at, shape[0] if shape else 1, tensor.nbytes)
    return Entry(request, future, queued_at, request.rows, sum([t.nbytes for t in inputs]))


class Lines:
    """Entries by compatibility class; the class whose head has waited longest goes first."""

    def __init__(self) -> None:
        self._lines: dict[Class, deque[Entry]] = {}
        self._turn = 0
        self._first_turn = 0
        self.rows = 0
        self.bytes = 0
        self._count = 0

    def __repr__(self) -> str:
        return f"<Lines {self._count} entries, {self.rows} rows, {self.bytes} bytes>"

    def __bool__(self) -> bool:
        return self._count > 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        for line in self._lines.values():
            yield from line

    def append(self, entry: Entry, line: Class | None) -> None:
        """Put *entry* at the end of its *line*; None gives it a line of its own."""
        self._turn += 1
        entry.turn = self._turn
        self._line_of(entry, line).append(entry)

    def push_front(self, entry: Entry, line: Class | None) -> None:
        """Put *entry* before all others: it has been on its way already."""
        self._first_turn -= 1
        entry.turn = self._first_turn
        self._line_of(entry, line).appendleft(entry)

    def _line_of(self, entry: Entry, line: Class | None) -> deque[Entry]:
        entry.line = line = (id(entry),) if line is None else line
        self.rows += entry.rows
        self.bytes += entry.nbytes
        self._count += 1
        entries = self._lines.get(line)
        if entries is None:
            entries = self._lines[line] = deque()
        return entries

    def remove(self, entry: Entry) -> None:
        """Take *entry* out, wherever it stands; nothing happens if it is not queued."""
        line = entry.line
        entries = None if line is None else self._lines.get(line)
        if entries is None or line is None or entry not in entries:
            return
        entries.remove(entry)
        if not entries:
            del self._lines[line]
        self._gone(entry)

    def take(self, rows: int, fits: Callable[[float, int], bool]) -> list[Entry]:
        """The next batch: the longest waiting entry, and up to *rows* rows of its class.

        An entry larger than *rows* goes alone. *fits* says whether a batch of so many rows would
        be in time for a deadline: it ends a batch that would grow too slow for a member, unless
        that one is late in any case. Must not be called when empty.
        """
        lines = self._lines
        if len(lines) == 1:
            ((line, entries),) = lines.items()
        else:
            line, entries = min(lines.items(), key=lambda item: item[1][0].turn)
        first = entries.popleft()
        batch = [first]
        total = first.rows
        tightest = first.request.deadline
        while entries:
            following = entries[0]
            grown = total + following.rows
            if grown > rows:
                break
            tighter = min(tightest, following.request.deadline)
            if not fits(tighter, grown) and fits(tightest, total):
                break
            batch.append(entries.popleft())
            total, tightest = grown, tighter
        if not entries:
            del lines[line]
        for entry in batch:
            self._gone(entry)
        return batch

    def _gone(self, entry: Entry) -> None:
        entry.line = None
        self.rows -= entry.rows
        self.bytes -= entry.nbytes
        self._count -= 1
