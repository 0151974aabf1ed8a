# SPDX-License-Identifier: Apache-2.0
"""LineWriter: lines of a log on their way out, on a thread of their own.

Whoever reads the log may be slow or frozen; a request never waits for it.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# A write of this size is one piece on a pipe that several processes share.
_ATOMIC: Final = 4096


class LineWriter(Generic[T]):
    """Writes what it is given to the file descriptor *fd*, in order; *fd* stays the caller's.

    *form* makes an entry one line of bytes, its end included, on the thread. Up to *capacity*
    entries wait; beyond that the newest is dropped and counted in `dropped`, as is every line that
    cannot be written. The thread starts with the first entry.
    """

    def __init__(self, fd: int, form: Callable[[T], bytes], *, capacity: int = 4096) -> None:
        self._fd = fd
        self._form = form
        self._entries: queue.Queue[T | None] = queue.Queue(capacity)
        self._thread: threading.Thread | None = None
        self._refused = 0
        # Written by the thread alone, as `_refused` is by the callers: neither needs a lock.
        self._failed = 0

    def __repr__(self) -> str:
        return f"<LineWriter fd={self._fd} waiting={self._entries.qsize()} dropped={self.dropped}>"

    @property
    def dropped(self) -> int:
        """Lines lost so far."""
        return self._refused + self._failed

    def put(self, entry: T) -> None:
        """Have *entry* written soon, or drop it; never waits."""
        try:
            self._entries.put_nowait(entry)
        except queue.Full:
            self._refused += 1
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
            self._thread.start()

    def close(self, patience: float = 1.0) -> None:
        """Write what waits, for at most *patience* seconds; the rest is lost with the process."""
        thread = self._thread
        if thread is None:
            return
        self._thread = None
        try:
            self._entries.put(None, timeout=patience)
        except queue.Full:
            return
        thread.join(patience)

    def _run(self) -> None:
        entries = self._entries
        while True:
            entry = entries.get()
            if entry is None:
                return
            lines = [self._form(entry)]
            size = len(lines[0])
            ends = False
            while size < _ATOMIC:
                try:
                    entry = entries.get_nowait()
                except queue.Empty:
                    break
                if entry is None:
                    ends = True
                    break
                line = self._form(entry)
                if size + len(line) > _ATOMIC:
                    self._write(lines)
                    lines, size = [], 0
                lines.append(line)
                size += len(line)
            self._write(lines)
            if ends:
                return

    def _write(self, lines: list[bytes]) -> None:
        data = memoryview(b"".join(lines))
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            # A closed pipe or a full disk: the log is lost, the service is not.
            self._failed += len(lines)
