# SPDX-License-Identifier: Apache-2.0
"""Leases: what the replies of Redis mean, and how one waits."""

from __future__ import annotations

import asyncio

import hiredis
import pytest

from gateway.stores.leases import Leases
from gateway.stores.line import Command
from gateway.stores.reads import Reads
from tests.support.channels import ScriptedChannel
from tests.support.upstream import Clock, settle


class Trial:
    """Leases over scripted channels; each sleep moves the clock and is noted."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.writes, self.reads = ScriptedChannel(), ScriptedChannel()
        self.slept: list[float] = []
        self.leases = Leases(
            self.writes,
            Reads(self.reads),
            clock=self.clock,
            sleep=self.sleep,
            token=lambda size: b"t" * size,
        )

    async def sleep(self, seconds: float) -> None:
        """Wait in no time."""
        self.slept.append(seconds)
        self.clock.now += seconds
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("reply", "token"),
    [(b"OK", b"t" * 16), (None, None), (hiredis.ReplyError("OOM full"), b"")],
)
async def test_a_lease_is_taken_held_or_unknown(reply: object, token: bytes | None) -> None:
    """Where Redis does not say who fills, the caller does."""
    trial = Trial()
    asked = [asyncio.ensure_future(trial.leases.take(b"k", 1.5)) for _ in range(2)]
    await settle()
    assert trial.writes.answer([reply, None]) == [("SET", b"k", b"t" * 16, "NX", "PX", 1500)] * 2

    assert await asyncio.gather(*asked) == [token, None]


@pytest.mark.parametrize("works", [True, False])
async def test_without_redis_each_fills(works: bool) -> None:  # noqa: FBT001
    """Whether that is known or comes out."""
    trial = Trial()
    trial.writes.works = works
    asked = asyncio.ensure_future(trial.leases.take(b"k", 1))
    await settle()
    if works:
        trial.writes.answer(None)
    assert await asked == b""


async def test_one_that_waits_looks_ever_less_often() -> None:
    """From 2 ms on, at most 50 ms apart, and never beyond its time."""
    trial = Trial()
    trial.reads.server = lambda command: [None, b"held"]

    assert await trial.leases.wait(b"k", b"lease", 1.0) is None
    assert trial.slept[:3] == pytest.approx([0.002, 0.003, 0.0045])
    assert max(trial.slept) == 0.05
    assert sum(trial.slept) == pytest.approx(1.0)
    assert len(trial.slept) < 40


async def test_one_that_waits_gets_the_value() -> None:
    """As soon as it is there, and at the last moment."""
    trial = Trial()
    answers = iter([[None, b"held"], [None, b"held"], [b"value", None]])
    trial.reads.server = lambda command: next(answers)

    assert await trial.leases.wait(b"k", b"lease", 1.0) == b"value"
    assert len(trial.slept) == 2


async def test_a_lease_that_is_gone_is_looked_at_twice() -> None:
    """The value may have come between two looks; if not, nobody fills it any more."""
    trial = Trial()
    looks: list[Command] = []

    def gone(command: Command) -> list[None]:
        looks.append(command)
        return [None, None]

    trial.reads.server = gone
    assert await trial.leases.wait(b"k", b"lease", 1.0) is None
    assert looks == [("MGET", b"k", b"lease")] * 2
    assert trial.slept == []


async def test_one_that_waits_gives_up_when_redis_is_away() -> None:
    """Then there is nothing to wait for."""
    trial = Trial()
    trial.reads.works = False

    assert await trial.leases.wait(b"k", b"lease", 1.0) is None
    assert trial.slept == []
