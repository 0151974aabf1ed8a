# SPDX-License-Identifier: Apache-2.0
"""Recorder: what became of each request, as histograms and sums of one process.

Requests are appended to one flat array, five numbers each, and folded into histograms a few
thousand at a time, which takes a fraction of a millisecond.
"""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from gateway.lab.load.histogram import Histogram
from gateway.lab.load.run import ERRORS, ErrorKind, Second, Timing

if TYPE_CHECKING:
    from gateway.wire.tensor import Array

_SECOND: Final = 1_000_000_000
_WIDTH: Final = 5
# What became of a request: 0 is success, then the kinds of errors in their order.
OK: Final = 0
CODES: Final[dict[ErrorKind, int]] = {kind: place for place, kind in enumerate(ERRORS, 1)}
TIMEOUT: Final = CODES["timeout"]
# Between these stand the answers that are no success.
_LAST_ANSWER: Final = CODES["malformed"]


class Tally(msgspec.Struct, kw_only=True):
    """What a share of a run counted, by intended send within the measured window."""

    offered: int = 0
    sent: int = 0
    answered: int = 0
    ok: int = 0
    duplicates: int = 0
    errors: dict[ErrorKind, int] = {}
    statuses: dict[str, int] = {}
    response: Histogram = msgspec.field(default_factory=Histogram)
    service: Histogram = msgspec.field(default_factory=Histogram)
    lag: Histogram = msgspec.field(default_factory=Histogram)
    waited: Histogram = msgspec.field(default_factory=Histogram)
    failed: Histogram = msgspec.field(default_factory=Histogram)
    timeline: dict[int, Second] = {}
    server_timing: dict[str, Timing] = {}
    cache: dict[str, int] = {}
    backends: dict[str, int] = {}
    digests: dict[str, int] = {}
    bytes_sent: int = 0
    bytes_received: int = 0
    connects: int = 0

    def add(self, other: Tally) -> None:
        """Merge *other* into this one."""
        for name in ("offered", "sent", "answered", "ok", "duplicates", "bytes_sent",
                     "bytes_received", "connects"):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("response", "service", "lag", "waited", "failed"):
            getattr(self, name).add(getattr(other, name))
        for name in ("errors", "statuses", "cache", "backends", "digests"):
            setattr(self, name, dict(Counter(getattr(self, name)) + Counter(getattr(other, name))))
        for second, theirs in other.timeline.items():
            mine = self.timeline.setdefault(second, Second(second=second))
            mine.offered += theirs.offered
            mine.answered += theirs.answered
            mine.errors += theirs.errors
            mine.response.add(theirs.response)
        for name, entry in other.server_timing.items():
            timing = self.server_timing.setdefault(name, Timing())
            timing.seconds += entry.seconds
            timing.count += entry.count


class Recorder:
    """Takes requests as they end; *begin* and *end* bound the window, in perf_counter_ns.

    Both may be set while the load goes on, as long as *begin* is in the future: nothing that was
    meant to be sent before it is ever counted.
    """

    def __init__(self) -> None:
        self.begin = self.end = 1 << 62
        self.tally = Tally()
        # Of the lag before the window, and of successes since `recent` was last asked for.
        self.lag_before = Histogram()
        self._recent = Histogram()
        self._rows = array("q")
        # The hot path appends here: due, taken up, sent or 0, done, what became of it.
        self.row = self._rows.extend

    def __repr__(self) -> str:
        return f"<Recorder {self.tally.ok} of {self.tally.offered}>"

    def fold(self) -> None:
        """Take what was appended since into the histograms."""
        # The view must be gone before the array is emptied.
        table = np.frombuffer(self._rows, dtype=np.int64).reshape(-1, _WIDTH).copy()
        del self._rows[:]
        if not len(table):
            return
        due = table[:, 0]
        early = table[due < self.begin]
        fine = table[:, 4] == OK
        self._recent.record((table[:, 3] - due)[fine])
        if len(early):
            self.lag_before.record(early[:, 1] - early[:, 0])
        inside = table[(due >= self.begin) & (due < self.end)]
        if len(inside):
            self._count(inside)
        done = table[(table[:, 3] >= self.begin) & (table[:, 3] < self.end)]
        self._answers(done[_answered(done[:, 4])])

    def recent(self) -> Histogram:
        """Response times of successes since the last call."""
        recent, self._recent = self._recent, Histogram()
        return recent

    def _count(self, table: Array) -> None:
        due, taken, sent, done, code = table.T
        tally = self.tally
        tally.offered += len(table)
        was_sent = sent > 0
        tally.sent += int(was_sent.sum())
        tally.answered += int(_answered(code).sum())
        fine = code == OK
        tally.ok += int(fine.sum())
        for kind, number in CODES.items():
            times = int((code == number).sum())
            if times:
                tally.errors[kind] = tally.errors.get(kind, 0) + times
        tally.lag.record(taken - due)
        tally.waited.record((sent - taken)[was_sent])
        kept = fine | (code == TIMEOUT)
        response = done - due
        tally.response.record(response[kept])
        tally.service.record((done - sent)[kept & was_sent])
        tally.failed.record(response[~kept])
        seconds = (due - self.begin) // _SECOND
        for second in np.unique(seconds).tolist():
            here = seconds == second
            entry = tally.timeline.setdefault(second, Second(second=second))
            entry.offered += int(here.sum())
            entry.errors += int((here & ~fine).sum())
            entry.response.record(response[here & kept])

    def _answers(self, table: Array) -> None:
        """Count answers in the second in which they came."""
        seconds, times = np.unique((table[:, 3] - self.begin) // _SECOND, return_counts=True)
        for second, count in zip(seconds.tolist(), times.tolist(), strict=True):
            self.tally.timeline.setdefault(second, Second(second=second)).answered += count


def _answered(code: Array) -> Array:
    found: Array = (code == OK) | ((code > TIMEOUT) & (code <= _LAST_ANSWER))
    return found


def pack(value: object) -> Any:  # noqa: ANN401 - msgpack
    """Histograms on their way between processes, as msgspec's hook."""
    if isinstance(value, Histogram):
        return value.pack()
    raise NotImplementedError(f"{type(value).__name__} cannot be sent")


def unpack(kind: type, value: Any) -> Histogram:  # noqa: ANN401 - msgpack
    """The other way."""
    if kind is Histogram:
        return Histogram.unpack(value)
    raise NotImplementedError(f"{kind.__name__} cannot be received")
