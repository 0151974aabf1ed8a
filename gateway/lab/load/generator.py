# SPDX-License-Identifier: Apache-2.0
"""Generator: sends one share of the load at the instants of its schedule, and times it.

Whatever takes long happens outside: here requests are ready as bytes, garbage collection is off,
and what is due is looked for after every answer as well as when the alarm rings.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.lab.load.alarm import Alarm
from gateway.lab.load.histogram import Histogram
from gateway.lab.load.run import Health

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.lab.load.recorder import Recorder
    from gateway.lab.load.sender import Sender
    from gateway.lab.load.supply import Supply

# Timeouts are noticed, and the loop's lag is seen, so often.
_BEAT: Final = 0.02
# Every so many beats, results are taken into histograms: 50 ms of them take well below 1 ms.
_FOLD_EVERY: Final = 3
# In a closed loop, what failed at once is not tried again before this, in seconds.
_PAUSE: Final = 0.05
# A request later than this, or than a whole gap of the schedule where that is longer, is late.
LATE: Final = 0.01


class Sight(msgspec.Struct, tag=True):
    """What a share tells while it runs; *recent* is since the last one, the rest of the window.

    Before the window has begun, counts are 0, and *cpu* and *lag_p99* are since the start.
    """

    offered: int = 0
    ok: int = 0
    errors: int = 0
    cpu: float = 0.0
    lag_p99: float = 0.0
    measured: float = 0.0
    recent: Histogram = msgspec.field(default_factory=Histogram)


class Generator:
    """Offers *supply* to *sender*, by *schedule* or, without one, with *concurrency* in flight.

    Instants of the schedule are nanoseconds from the start.
    """

    def __init__(
        self,
        sender: Sender,
        supply: Supply,
        recorder: Recorder,
        *,
        schedule: Iterator[int] | None,
        concurrency: int = 1,
        duration: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sender = sender
        self._supply = supply
        self.recorder = recorder
        self._schedule = schedule
        self._concurrency = concurrency
        self._duration = round(duration * 1e9)
        self._start = 0
        self._due = 0
        self._offering = False
        self._over = asyncio.Event()
        self._alarm: Alarm
        self._beat_due = 0
        self._beats = 0
        self._beaten = asyncio.Event()
        self._patience = 0.0
        self._longest_turn = 0
        self._began = (0, 0)
        self._ended = (0, 0)

    def __repr__(self) -> str:
        return f"<Generator {self._sender!r}>"

    async def run(self, start: int, *, patience: float) -> None:
        """Offer load from *start*, in perf_counter_ns, until the window is over, or `stop`.

        Then wait until all is answered, or for *patience* seconds.
        """
        self._start = start
        self._patience = patience
        self._alarm = Alarm(self._loop, self._ring)
        self._sender.fill = self._supply.fill
        self._sender.ended = self._after
        self._offering = True
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            self._began = (perf_counter_ns(), process_time_ns())
            self._beat_due = perf_counter_ns() + round(_BEAT * 1e9)
            beat = self._loop.call_later(_BEAT, self._beat)
            if self._schedule is not None:
                self._due = start + next(self._schedule)
            self._alarm.set(self._due or start)
            await self._over.wait()
            await self._drain()
            beat.cancel()
        finally:
            self._beat_due = 0
            self._alarm.close()
            gc.enable()
            gc.unfreeze()
        self._sender.cut(perf_counter_ns())
        self.recorder.fold()

    def begin(self, instant: int) -> None:
        """The measured window begins at *instant*, which is in the future."""
        self.recorder.begin = instant
        self.recorder.end = instant + self._duration

    def stop(self, patience: float) -> None:
        """Offer no more; what was measured so far is kept, answers are waited for *patience*."""
        self._patience = min(self._patience, patience)
        now = perf_counter_ns()
        if now < self.recorder.end:
            self.recorder.end = max(now, self.recorder.begin)
        if self._schedule is not None and self._offering and patience:
            # What was due before the stop belongs to the run.
            self._send_due()
        self._finish()

    def health(self) -> Health:
        """How this process fared in the window."""
        wall = self._ended[0] - self._began[0]
        lag = self.recorder.tally.lag
        offered = self.recorder.tally.offered
        gap = self.measured / offered if offered else 0.0
        return Health(
            host=socket.gethostname(),
            pid=os.getpid(),
            cpu=(self._ended[1] - self._began[1]) / wall if wall > 0 else 0.0,
            loop_lag=self._longest_turn / 1e9,
            late=lag.above(max(LATE, gap)),
            sent=self.recorder.tally.sent,
            lag_p99=lag.percentile(99),
        )

    @property
    def measured(self) -> float:
        """Seconds of the window so far."""
        end = min(perf_counter_ns(), self.recorder.end)
        return max(0, end - self.recorder.begin) / 1e9

    def sight(self) -> Sight:
        """How it goes."""
        recorder = self.recorder
        inside = perf_counter_ns() >= recorder.begin
        tally = recorder.tally
        wall, cpu = perf_counter_ns() - self._began[0], process_time_ns() - self._began[1]
        lag = tally.lag if inside else recorder.lag_before
        return Sight(
            offered=tally.offered, ok=tally.ok, errors=sum(tally.errors.values()),
            cpu=cpu / wall if wall > 0 else 0.0, lag_p99=lag.percentile(99),
            measured=self.measured, recent=recorder.recent(),
        )  # fmt: skip

    def _ring(self) -> None:
        """The alarm: something is due, or a closed loop starts."""
        if self._schedule is None:
            self._alarm.off()
            for _ in range(self._concurrency):
                self._again()
            return
        self._send_due()
        if self._offering:
            self._alarm.set(self._due)

    def _send_due(self) -> None:
        """Send all that is due by now."""
        now = perf_counter_ns()
        end = self.recorder.end
        while self._due <= now:
            due = self._due
            if due >= end:
                self._finish()
                return
            number, seen = self._supply.next()
            if seen and due >= self.recorder.begin:
                self.recorder.tally.duplicates += 1
            self._sender.offer(due, number)
            self._due = self._start + next(self._schedule)  # type: ignore[arg-type] # open loop
            now = perf_counter_ns()

    def _after(self, now: int) -> None:
        """A request has ended."""
        if self._schedule is None:
            if not self._offering:
                return
            if self._sender.failing:
                # A server that is not there must not be asked a hundred thousand times a second.
                self._loop.call_later(_PAUSE, self._again)
            else:
                self._again()
        elif self._due <= now and self._offering:
            self._send_due()

    def _again(self) -> None:
        """One more request of a closed loop."""
        now = perf_counter_ns()
        if not self._offering:
            return
        if now >= self.recorder.end:
            self._finish()
            return
        number, seen = self._supply.next()
        if seen and now >= self.recorder.begin:
            self.recorder.tally.duplicates += 1
        self._sender.offer(perf_counter_ns(), number)

    def _finish(self) -> None:
        if self._offering:
            self._offering = False
            self._alarm.off()
            self._over.set()

    def _beat(self) -> None:
        """The heart of everything that needs no precision."""
        now = perf_counter_ns()
        if not self._beat_due:
            return
        begin, end = self.recorder.begin, self.recorder.end
        if now >= begin and self._ended == (0, 0):
            self._longest_turn = max(self._longest_turn, now - self._beat_due)
        if now >= begin > self._began[0]:
            self._began = (now, process_time_ns())
            self._longest_turn = 0
        if now >= end and self._ended == (0, 0):
            self._ended = (now, process_time_ns())
        if now >= end and self._offering:
            # After a pause the last ones may still be due: they are late, but not left out.
            if self._schedule is not None:
                self._send_due()
            # A schedule may have nothing due until long after the end.
            self._finish()
        self._sender.expire(now)
        self._beats += 1
        if self._beats % _FOLD_EVERY == 0:
            self.recorder.fold()
        self._beaten.set()
        self._beat_due = perf_counter_ns() + round(_BEAT * 1e9)
        self._loop.call_later(_BEAT, self._beat)

    async def _drain(self) -> None:
        """Wait for the answers to what was sent, beat by beat."""
        began = perf_counter_ns()
        if self._ended == (0, 0):
            self._ended = (began, process_time_ns())
        while self._sender.pending:
            if perf_counter_ns() - began > self._patience * 1e9:
                break
            self._beaten.clear()
            await self._beaten.wait()
