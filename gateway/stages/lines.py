# SPDX-License-Identifier: Apache-2.0
"""Lines: the queue behind `Batch`, one line for each class of requests that may be merged."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.promise import Promised

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from gateway.stages.merge import Class
    from gateway.wire.message import InferRequest, InferResponse


class Entry(msgspec.Struct, Promised["InferResponse"], eq=False, gc=False):
    """A request that waits, and the promise of its answer; *flight* is set while it is on its way.

    Made by `enqueued`, which fills in the size.
    """

    request: InferRequest
    loop: asyncio.AbstractEventLoop
    queued_at: float
    rows: int
    nbytes: int
    gone: Callable[[Entry], None] | None = None
    flight: Any = None
    line: Class | None = None
    turn: float = 0.0
    returns: int = 0
    alone: bool = False
    waits: bool = True
    response: InferResponse | None = None
    error: BaseException | None = None
    wake: Callable[[Any], object] | None = None
    _asyncio_future_blocking: bool = False

    def __repr__(self) -> str:
        return f"<Entry {self.request!r} {'waits' if self.waits else 'done'}>"


def enqueued(
    request: InferRequest,
    loop: asyncio.AbstractEventLoop,
    queued_at: float,
    gone: Callable[[Entry], None] | None = None,
) -> Entry:
    """The entry of *request*, with its rows and bytes."""
    inputs = request.inputs
    if len(inputs) == 1:
        (tensor,) = inputs
        shape = tensor.shape
        return Entry(request, loop, queued_at, shape[0] if shape else 1, len(tensor.data), gone)
    size = sum([len(tensor.data) for tensor in inputs])
    return Entry(request, loop, queued_at, request.rows, size, gone)


class Lines:
    """Entries by compatibility class; the class whose head has waited longest goes first.

    *rows* counts what waits, an entry without rows as one: it takes room too.
    """

    def __init__(self) -> None:
        self._lines: dict[Class, deque[Entry]] = {}
        self._first_turn = 0.0
        self.rows = 0
        self.bytes = 0

    def __repr__(self) -> str:
        return f"<Lines {len(self)} entries, {self.rows} rows, {self.bytes} bytes>"

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __len__(self) -> int:
        return sum([len(line) for line in self._lines.values()])

    def __iter__(self) -> Iterator[Entry]:
        for line in self._lines.values():
            yield from line

    def append(self, entry: Entry, line: Class | None) -> None:
        """Put *entry* at the end of its *line*; None gives it a line of its own."""
        entry.line = line = (id(entry),) if line is None else line
        self.rows += entry.rows or 1
        self.bytes += entry.nbytes
        entries = self._lines.get(line)
        if entries is None:
            self._lines[line] = deque((entry,))
        else:
            entries.append(entry)

    def push_front(self, entry: Entry, line: Class | None) -> None:
        """Put *entry* before all others: it has been on its way already."""
        self.append(entry, line)
        entries = self._lines[entry.line or ()]
        entries.rotate(1)
        # Before every instant at which anybody was queued.
        self._first_turn = entry.turn = self._first_turn - 1

    def remove(self, entry: Entry) -> None:
        """Take *entry* out, wherever it stands; nothing happens if it is not queued."""
        line = entry.line
        entries = None if line is None else self._lines.get(line)
        if entries is None or line is None or entry not in entries:
            return
        entries.remove(entry)
        if not entries:
            del self._lines[line]
        entry.line = None
        self.rows -= entry.rows or 1
        self.bytes -= entry.nbytes

    def take(self, rows: int, fits: Callable[[float, int], bool] | None = None) -> list[Entry]:
        """The next batch: the longest waiting entry, and up to *rows* rows of its class.

        An entry larger than *rows* goes alone. *fits* says whether a batch of so many rows would
        be in time for a deadline, None that any is: it ends a batch that would grow too slow for a
        member, unless that one is late in any case. Must not be called when empty.
        """
        lines = self._lines
        if len(lines) == 1:
            ((line, entries),) = lines.items()
            if fits is None and self.rows <= rows:
                # All that wait.
                del lines[line]
                self.rows = self.bytes = 0
                return list(entries)
        else:
            line, entries = min(lines.items(), key=_head_turn)
        first = entries.popleft()
        batch = [first]
        total, size, tightest = first.rows, first.nbytes, first.request.deadline
        while entries:
            following = entries[0]
            grown = total + following.rows
            if grown > rows:
                break
            if fits is not None:
                tighter = min(tightest, following.request.deadline)
                if not fits(tighter, grown) and fits(tightest, total):
                    break
                tightest = tighter
            batch.append(following)
            entries.popleft()
            total = grown
            size += following.nbytes
        if not entries:
            del lines[line]
        self.rows -= sum([entry.rows or 1 for entry in batch])
        self.bytes -= size
        return batch


def _head_turn(item: tuple[Class, deque[Entry]]) -> float:
    head = item[1][0]
    return head.turn or head.queued_at
