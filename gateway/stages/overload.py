# SPDX-License-Identifier: Apache-2.0
"""Overload: the process looks at itself, and takes no more than it can bear.

Queues and caps bound what is asked of the workers. What is left is what every connection and every
request costs the gateway process itself: time of its event loop, memory, file descriptors.
"""

from __future__ import annotations

import asyncio
import logging
from math import ceil
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.errors import Shed
from gateway.telemetry import usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.stages.gate import Gate
    from gateway.stages.overload_options import OverloadConfig
    from gateway.telemetry import Telemetry

log = logging.getLogger(__name__)

# The values of the label `reason`.
LOOP_LAG: Final = "loop_lag"
MEMORY: Final = "memory"
FILE_DESCRIPTORS: Final = "file_descriptors"
# Seconds between two looks.
INTERVAL: Final = 0.25
# Whoever is refused comes back after the time that the overload has lasted already, between these.
_SOONEST: Final = 1.0
_LATEST: Final = 10.0
# Seconds between two attempts to give unused memory back.
_RELIEF: Final = 5.0


class Overload:
    """Why requests are refused now: *reason* for the metric, *message* for the client."""

    def __init__(self, reason: str, message: str, retry_after: float, telemetry: Telemetry) -> None:
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self._telemetry = telemetry

    def __repr__(self) -> str:
        return f"<Overload {self.reason}, come back after {self.retry_after:.0f} s>"

    def refusal(self, model: str) -> Shed:
        """What a request for *model* gets; it is counted as refused."""
        self._telemetry.shed.cell(model, self.reason).value += 1
        return Shed(self.message, retry_after=self.retry_after)


class Watched:
    """One thing that may run short: *read* gives how much of it is used.

    From *part* on, connections are closed behind their answer; from *refuse* on, requests are
    refused; 0 is never. Either ends when the reading falls to *release* of its threshold, so that
    one that moves around it does not switch with every look. *explain* puts a reading into words.
    """

    def __init__(
        self,
        reason: str,
        read: Callable[[], float],
        *,
        part: float,
        refuse: float,
        release: float,
        explain: Callable[[float], str],
    ) -> None:
        self.reason = reason
        self.read = read
        self.part = part
        self.refuse = refuse
        self.release = release
        self.explain = explain
        self.value = 0.0
        self.parts = False
        self.refuses = False

    def __repr__(self) -> str:
        state = "refuses" if self.refuses else "parts" if self.parts else "bears"
        return f"<Watched {self.reason} {self.value:.3f} {state}>"

    def look(self) -> None:
        """Read, and draw the conclusions."""
        self.value = value = self.read()
        self.parts = self._above(value, self.part, self.parts)
        self.refuses = self._above(value, self.refuse, self.refuses)

    def _above(self, value: float, threshold: float, was: bool) -> bool:  # noqa: FBT001
        return threshold > 0 and value > threshold * (self.release if was else 1.0)


class Guard:
    """Looks at all that is *watched*, and tells *gate* what follows; *relieve* may free memory.

    While something is above its first threshold connections are closed behind their answers, above
    the second one no request enters. Connections are accepted all the same: health and metrics
    stay answerable, and whoever is refused is told so.
    """

    def __init__(
        self,
        gate: Gate,
        watched: Sequence[Watched],
        *,
        telemetry: Telemetry,
        relieve: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._gate = gate
        self._watched = watched
        self._telemetry = telemetry
        self._relieve = relieve
        self._clock = clock
        self._since = 0.0
        self._relieved = float("-inf")
        for each in watched:
            telemetry.pressure.cell(each.reason)
        telemetry.on_collect(self._fill_gauges)

    def __repr__(self) -> str:
        return f"<Guard {list(self._watched)!r}>"

    def look(self) -> None:
        """Look once."""
        now = self._clock()
        for each in self._watched:
            each.look()
        if (now - self._relieved >= _RELIEF) and any(
            each.reason == MEMORY and (each.parts or each.refuses) for each in self._watched
        ):
            # What was freed may still be ours: without this the reading might never fall.
            self._relieved = now
            self._relieve()
        gate = self._gate
        parting = [each.reason for each in self._watched if each.parts]
        if bool(parting) != gate.strained:
            gate.strain(strained=bool(parting))
            if parting:
                log.warning("short of %s: closing connections", ", ".join(parting))
        refusing = next((each for each in self._watched if each.refuses), None)
        if refusing is None:
            if gate.overload is not None:
                gate.overload = None
                log.warning("overload is over after %.1f s", now - self._since)
            return
        message = f"this gateway is overloaded: {refusing.explain(refusing.value)}"
        if gate.overload is None:
            self._since = now
            log.warning("refusing requests: %s", message)
        after = float(ceil(min(max(now - self._since, _SOONEST), _LATEST)))
        gate.overload = Overload(refusing.reason, message, after, self._telemetry)

    async def run(
        self,
        *,
        interval: float = INTERVAL,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Look every *interval* seconds until cancelled."""
        while True:
            await sleep(interval)
            self.look()

    def _fill_gauges(self) -> None:
        for each in self._watched:
            self._telemetry.pressure.cell(each.reason).value = (
                each.value / each.refuse if each.refuse else 0.0
            )
            for action, active in (("part", each.parts), ("refuse", each.refuses)):
                self._telemetry.overload.cell(each.reason, action).value = int(active)


class Lag:
    """How late the event loop's timers are: the 99th percentile that two looks in a row agree on.

    `observe` takes the lateness of one timer in seconds, `read` ends a stretch between two looks.
    One stall, however long, is no overload: it is over when it is seen. Only what is late in the
    stretch before the look and in the one before that is.
    """

    def __init__(self) -> None:
        self._late: list[float] = []
        self._last = 0.0
        self._before = 0.0

    def __repr__(self) -> str:
        return f"<Lag {self._last:.3f} s, before {self._before:.3f} s>"

    def observe(self, late: float) -> None:
        """One timer was *late* seconds late."""
        self._late.append(late)

    def read(self) -> float:
        """Seconds; what was observed since the last call belongs to this one."""
        late = sorted(self._late)
        self._late.clear()
        # Without a single timer there is nothing new to be said.
        if late:
            self._before, self._last = self._last, late[ceil(0.99 * len(late)) - 1]
        return min(self._before, self._last)


def process_guard(
    options: OverloadConfig,
    gate: Gate,
    *,
    telemetry: Telemetry,
    lag: Lag,
    descriptors: int,
    processes: int = 1,
) -> Guard:
    """What watches this process, one of *processes*, which may open so many *descriptors*."""
    memory = options.memory_limit or usage.memory_limit() // processes
    return Guard(
        gate,
        [
            Watched(
                MEMORY,
                lambda: usage.resident_memory() / memory,
                part=options.memory_part,
                refuse=options.memory_refuse,
                release=0.97,
                explain=lambda share: f"{share:.0%} of its memory is in use",
            ),
            Watched(
                FILE_DESCRIPTORS,
                lambda: usage.open_descriptors() / descriptors,
                part=options.descriptors_part,
                refuse=options.descriptors_refuse,
                release=0.97,
                explain=lambda share: f"{share:.0%} of its file descriptors are in use",
            ),
            Watched(
                LOOP_LAG,
                lag.read,
                part=options.lag_part,
                refuse=options.lag_refuse,
                release=0.5,
                explain=lambda seconds: f"its event loop is {seconds * 1000:.0f} ms behind",
            ),
        ],
        telemetry=telemetry,
        relieve=usage.give_back_memory,
    )
