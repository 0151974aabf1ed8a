# SPDX-License-Identifier: Apache-2.0
"""The generator sends what is due when it is due, and a closed loop keeps its number in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from time import perf_counter_ns

from gateway.lab.load.generator import Generator
from gateway.lab.load.recorder import CODES, OK, Recorder
from gateway.lab.load.supply import Supply, Template

MS = 1_000_000


class Instant:
    """A sender whose answers come in the next turn of the loop."""

    def __init__(self, recorder: Recorder, *, code: int = OK) -> None:
        self.recorder = recorder
        self.fill: Callable[[int], bytes] = lambda _: b""
        self.ended: Callable[[int], None] = lambda _: None
        self.failing = code == CODES["connect"]
        self.offered: list[int] = []
        self.twenty = asyncio.Event()
        self.pending = 0
        self.most = 0
        self._code = code

    def offer(self, due: int, number: int) -> None:
        """Answer soon."""
        assert self.fill(number)
        self.offered.append(due)
        if len(self.offered) == 20:
            self.twenty.set()
        self.pending += 1
        self.most = max(self.most, self.pending)
        asyncio.get_running_loop().call_soon(self._answer, due, perf_counter_ns())

    def _answer(self, due: int, taken: int) -> None:
        self.pending -= 1
        now = perf_counter_ns()
        self.recorder.row((due, taken, taken, now, self._code))
        self.ended(now)

    def expire(self, now: int) -> None:
        """Nothing ever does."""

    def cut(self, now: int) -> None:
        """Nothing is left."""

    async def open(self) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """Nor to close."""


def generating(
    sender: Instant, schedule: Iterator[int] | None, *, duration: float, concurrency: int = 1
) -> Generator:
    """What offers to *sender*."""
    supply = Supply([Template(b"", b"x")], repeat=None)
    return Generator(
        sender, supply, sender.recorder,
        schedule=schedule, duration=duration, concurrency=concurrency,
    )  # fmt: skip


async def ran(
    sender: Instant, schedule: Iterator[int], *, duration: float, late: int = 0
) -> tuple[Generator, int]:
    """A whole run from now, or from *late* nanoseconds ago, and when it began."""
    generator = generating(sender, schedule, duration=duration)
    start = perf_counter_ns() - late
    generator.begin(start)
    await generator.run(start, patience=1.0)
    return generator, start


async def stopped(sender: Instant, schedule: Iterator[int] | None, number: int = 1) -> Generator:
    """A run that would take an hour, stopped after its 20th request."""
    generator = generating(sender, schedule, duration=3600.0, concurrency=number)
    start = perf_counter_ns()
    generator.begin(start)
    running = asyncio.create_task(generator.run(start, patience=3600.0))
    await sender.twenty.wait()
    generator.stop(0.0)
    await running
    return generator


async def test_every_instant_within_the_window_is_offered_once() -> None:
    """None before it is due, none that is due at the end or later; the first input is new."""
    sender = Instant(Recorder())

    generator, start = await ran(sender, (number * MS for number in count()), duration=0.05)

    assert sender.offered == [start + number * MS for number in range(50)]
    tally = generator.recorder.tally
    assert tally.offered == tally.ok == 50
    assert tally.duplicates == 49
    assert tally.lag.minimum >= 0
    assert generator.measured == 0.05


async def test_a_schedule_without_more_ends_with_the_window() -> None:
    """Also where the next instant is far behind it."""
    sender = Instant(Recorder())

    generator, _ = await ran(sender, iter([0, 3_600_000 * MS]), duration=0.05)

    assert generator.recorder.tally.offered == 1


async def test_a_generator_that_woke_too_late_leaves_nothing_out() -> None:
    """What was due while it was not running is sent, late, and counted as late."""
    sender = Instant(Recorder())

    generator, start = await ran(
        sender, (number * MS for number in count()), duration=0.05, late=1_000 * MS
    )

    assert sender.offered == [start + number * MS for number in range(50)]
    assert generator.recorder.tally.lag.minimum > 0.9
    assert generator.health().late == 50


async def test_the_beat_leaves_nothing_out_either() -> None:
    """It may see the end of the window before the alarm has rung."""
    sender = Instant(Recorder())
    generator = generating(sender, iter([0, 1 * MS, 90 * MS]), duration=0.05)
    start = perf_counter_ns()
    generator.begin(start)
    running = asyncio.create_task(generator.run(start, patience=1.0))
    # The first turn of the run, and then the loop stands still until the window is over.
    await asyncio.sleep(0)
    while perf_counter_ns() < start + 60 * MS:
        pass
    generator._beat()
    await running

    assert sender.offered == [start, start + 1 * MS]


async def test_a_closed_loop_keeps_its_number_in_flight() -> None:
    """Never more, and it goes on as soon as one is answered."""
    sender = Instant(Recorder())

    generator = await stopped(sender, None, 3)

    assert sender.most == 3
    assert generator.recorder.tally.offered >= 20


async def test_a_closed_loop_pauses_where_nobody_is_there() -> None:
    """A host that refuses connections is not asked as fast as it can refuse."""
    sender = Instant(Recorder(), code=CODES["connect"])
    began = perf_counter_ns()

    generator = await stopped(sender, None, 4)

    # Four at a time, with a pause of 50 ms between: 20 take four pauses.
    assert perf_counter_ns() - began > 4 * 49 * MS
    assert generator.recorder.tally.errors.keys() == {"connect"}


async def test_a_stopped_run_keeps_what_it_has() -> None:
    """The window ends when it is stopped."""
    sender = Instant(Recorder())

    generator = await stopped(sender, (number * MS for number in count()))

    tally = generator.recorder.tally
    assert 20 <= tally.offered < 5_000
    assert generator.measured < 60
    assert generator.health().sent == tally.offered
