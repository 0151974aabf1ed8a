# SPDX-License-Identifier: Apache-2.0
"""Overload: what the guard concludes from what it reads, and when it changes its mind."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.errors import Shed
from gateway.stages.admission import Admission
from gateway.stages.gate import Gate
from gateway.stages.overload import (
    FILE_DESCRIPTORS,
    LOOP_LAG,
    MEMORY,
    Guard,
    Lag,
    Watched,
    process_guard,
)
from gateway.stages.overload_options import OverloadConfig
from gateway.telemetry import Telemetry
from tests.support.exchanges import Scripted, make_exchange
from tests.support.upstream import Clock


class Gauge:
    """A reading that a test sets."""

    def __init__(self) -> None:
        self.value = 0.0

    def __call__(self) -> float:
        """The reading."""
        return self.value


class Scene:
    """A guard over one scripted reading: parts from 0.8 on, refuses from 0.9 on."""

    def __init__(self, reason: str = FILE_DESCRIPTORS) -> None:
        self.gauge = Gauge()
        self.clock = Clock()
        self.gate = Gate()
        self.telemetry = Telemetry(models=["digits"])
        self.relieved: list[float] = []
        watched = Watched(
            reason, self.gauge, part=0.8, refuse=0.9, release=0.5,
            explain=lambda value: f"{value:.0%} used",
        )  # fmt: skip
        self.guard = Guard(
            self.gate,
            [watched],
            telemetry=self.telemetry,
            relieve=lambda: self.relieved.append(self.clock()),
            clock=self.clock,
        )

    def reads(self, value: float, *, after: float = 0.25) -> None:
        """The reading is *value* at the next look."""
        self.clock.now += after
        self.gauge.value = value
        self.guard.look()

    @property
    def state(self) -> tuple[bool, bool]:
        """Whether clients are parted with, and whether requests are refused."""
        return (self.gate.parting, self.gate.overload is not None)


def test_first_threshold_parts_and_the_second_refuses() -> None:
    """At a threshold nothing happens yet, above it at once."""
    scene = Scene()
    for value, state in (
        (0.8, (False, False)),
        (0.81, (True, False)),
        (0.9, (True, False)),
        (0.91, (True, True)),
    ):
        scene.reads(value)
        assert scene.state == state, value


def test_each_level_is_left_well_below_its_threshold() -> None:
    """A reading that moves around a threshold does not switch with every look."""
    scene = Scene()
    scene.reads(1.0)
    for value, state in (
        (0.46, (True, True)),
        (0.45, (True, False)),
        (0.41, (True, False)),
        (0.40, (False, False)),
        (0.7, (False, False)),
    ):
        scene.reads(value)
        assert scene.state == state, value


def test_a_threshold_of_zero_is_never_reached() -> None:
    """Each action can be turned off by itself."""
    scene = Scene()
    (watched,) = scene.guard._watched
    watched.part = watched.refuse = 0.0
    scene.reads(5.0)
    assert scene.state == (False, False)


async def test_admission_refuses_while_overloaded() -> None:
    """503 with what is short and when to come back, counted by reason; then as before."""
    scene = Scene()
    inner = Scripted()
    admission = Admission(inner, gate=scene.gate, telemetry=scene.telemetry)
    scene.reads(0.95)
    with pytest.raises(Shed, match="overloaded: 95% used") as caught:
        await admission(make_exchange())
    assert (caught.value.status, caught.value.code) == (503, "overloaded")
    assert caught.value.retry_after == 1.0
    assert scene.telemetry.shed.cell("digits", FILE_DESCRIPTORS).value == 1
    assert inner.seen == []
    scene.reads(0.1)
    await admission(make_exchange())
    assert len(inner.seen) == 1


def test_whoever_is_refused_comes_back_later_the_longer_it_lasts() -> None:
    """An overload of three seconds will hardly be over in one; nobody is sent away for ever."""
    scene = Scene()
    seen = []
    for after in (0.25, 0.25, 3.0, 3.0, 60.0):
        scene.reads(1.0, after=after)
        assert scene.gate.overload is not None
        seen.append(scene.gate.overload.retry_after)
    assert seen == [1.0, 1.0, 4.0, 7.0, 10.0]
    scene.reads(0.0)
    scene.reads(1.0)
    assert scene.gate.overload is not None
    assert scene.gate.overload.retry_after == 1.0


def test_memory_that_is_free_is_given_back_now_and_then() -> None:
    """Without it the reading may stay up for ever; more often it would cost time for nothing."""
    scene = Scene(MEMORY)
    scene.reads(0.5)
    assert scene.relieved == []
    for _ in range(21):
        scene.reads(0.85)
    assert [after - scene.relieved[0] for after in scene.relieved] == [0.0, 5.0]


def test_a_shortage_of_something_else_is_no_reason_to() -> None:
    """Descriptors do not come back from the allocator."""
    scene = Scene()
    scene.reads(1.0)
    assert scene.relieved == []


def test_draining_goes_on_when_a_shortage_ends() -> None:
    """Two have a say in whether clients are parted with."""
    scene = Scene()
    scene.reads(0.85)
    scene.gate.drain()
    scene.reads(0.1)
    assert scene.gate.parting
    assert scene.gate.draining


def test_gauges_tell_the_state() -> None:
    """Pressure is 1 where requests are refused; each action has its own."""
    scene = Scene()
    scene.reads(0.85)
    scene.telemetry.take()
    assert scene.telemetry.pressure.cell(FILE_DESCRIPTORS).value == pytest.approx(0.85 / 0.9)
    assert scene.telemetry.overload.cell(FILE_DESCRIPTORS, "part").value == 1
    assert scene.telemetry.overload.cell(FILE_DESCRIPTORS, "refuse").value == 0


def test_each_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """An operator sees when it began and when it ended, not every look between."""
    scene = Scene()
    with caplog.at_level(logging.WARNING):
        for value in (0.95, 0.95, 0.95, 0.1, 0.1):
            scene.reads(value)
    assert len(caplog.records) == 3


async def test_it_looks_again_and_again() -> None:
    """Every 250 ms."""
    scene = Scene()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        scene.gauge.value = 1.0
        if len(slept) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await scene.guard.run(sleep=sleep)
    assert slept == [0.25, 0.25, 0.25]
    assert scene.state == (True, True)


# Lag.


def test_one_stall_is_no_lag() -> None:
    """It is over when it is seen: refusing for it would come too late and hit others."""
    lag = Lag()
    seen = []
    for stretch in ([0.0] * 10, [0.5], [0.0] * 10, [0.0] * 10):
        for late in stretch:
            lag.observe(late)
        seen.append(lag.read())
    assert seen == [0.0, 0.0, 0.0, 0.0]


def test_a_loop_that_stays_behind_does_lag() -> None:
    """Two stretches in a row agree; the lesser one counts."""
    lag = Lag()
    seen = []
    for stretch in ([0.3, 0.1], [0.0, 0.4], [0.2], [0.0] * 3):
        for late in stretch:
            lag.observe(late)
        seen.append(lag.read())
    assert seen == [0.0, 0.3, 0.2, 0.0]


def test_a_stretch_without_a_timer_tells_nothing_new() -> None:
    """The loop was held up for all of it."""
    lag = Lag()
    for late in (0.3, 0.4):
        lag.observe(late)
        lag.read()
    assert lag.read() == 0.3


def test_lag_is_a_percentile() -> None:
    """One timer in a hundred and fifty does not count."""
    lag = Lag()
    for _ in range(2):
        for late in [0.01] * 149 + [9.0]:
            lag.observe(late)
        lag.read()
    assert lag.read() == 0.01


# The process.


def test_this_process_is_watched() -> None:
    """Its own readings are there, and a limit below what it uses is exceeded."""
    gate, telemetry = Gate(), Telemetry(models=["digits"])
    lag = Lag()
    options = OverloadConfig(memory_limit=1 << 20)
    guard = process_guard(options, gate, telemetry=telemetry, lag=lag, descriptors=1 << 20)
    guard.look()
    assert gate.overload is not None
    assert gate.overload.reason == MEMORY

    enough = OverloadConfig(memory_limit=1 << 50)
    guard = process_guard(enough, gate, telemetry=telemetry, lag=lag, descriptors=2)
    guard.look()
    assert gate.overload.reason == FILE_DESCRIPTORS

    guard = process_guard(enough, gate, telemetry=telemetry, lag=lag, descriptors=1 << 20)
    for _ in range(2):
        lag.observe(0.3)
        guard.look()
    assert gate.overload.reason == LOOP_LAG
    assert "300 ms behind" in gate.overload.message
    assert not gate.parting
