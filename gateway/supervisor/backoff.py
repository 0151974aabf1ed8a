# SPDX-License-Identifier: Apache-2.0
"""Backoff: how long to wait before a process that ended is started again."""

from __future__ import annotations


class Backoff:
    """Seconds that double from *first* to *longest* while a process dies young.

    One that served for *settled* seconds begins at *first* again: what kills it now and then must
    not keep it away for longer than it is of use.
    """

    def __init__(self, *, first: float = 0.1, longest: float = 5.0, settled: float = 1.0) -> None:
        self._first = first
        self._longest = longest
        self._settled = settled
        self._next = first

    def __repr__(self) -> str:
        return f"<Backoff next={self._next:g}s>"

    def delay(self, *, served: float) -> float:
        """The seconds to wait now, for a process that was ready for *served* seconds."""
        if served >= self._settled:
            self._next = self._first
        delay = self._next
        self._next = min(2 * delay, self._longest)
        return delay
