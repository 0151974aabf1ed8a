# SPDX-License-Identifier: Apache-2.0
"""Channel: budgets, in virtual time, and what becomes of calls when things go wrong."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import hiredis
import pytest

from gateway.stores.breaker import Breaker
from gateway.stores.channel import Channel
from tests.support.channels import ScriptedDial
from tests.support.redis import state
from tests.support.virtual import VirtualLoop, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

GET = [("GET", b"k")]


class Way:
    """A channel, and when each of its calls ended with what."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.dial = ScriptedDial()
        self.channel = Channel(
            self.dial,
            name="test",
            breaker=Breaker(clock=loop.time),
            probe=("PING",),
            timeout=0.02,
            connect_timeout=0.05,
        )
        self.ended: list[tuple[float, Any]] = []

    @staticmethod
    def stall(seconds: float) -> None:
        """Let time pass in which the loop does nothing."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.pass_by(seconds)

    def ask(self) -> None:
        """Make a call."""
        began = asyncio.get_running_loop().time()

        def done(replies: Any) -> None:
            self.ended.append((round(asyncio.get_running_loop().time() - began, 6), replies))

        self.channel.call(GET, done)


def trial(of: Callable[[Way], Awaitable[None]]) -> None:
    """Run *of* in virtual time, to the end of its channel."""

    async def whole() -> None:
        way = Way()
        await of(way)
        await way.channel.aclose()

    run(whole())


async def turn() -> None:
    """Let the loop turn until all is done that needs no time."""
    for _ in range(9):
        await asyncio.sleep(0)


def test_a_call_connects_and_is_answered() -> None:
    """Calls that come while it connects leave together, on one line."""

    async def of(way: Way) -> None:
        way.ask()
        way.ask()
        await turn()
        (line,) = way.dial.lines
        line.answer(b"1")
        line.answer(b"2")
        assert way.ended == [(0, [b"1"]), (0, [b"2"])]
        assert way.dial.dialled == 1

    trial(of)


def test_no_call_takes_longer_than_its_budget() -> None:
    """Connecting, which may take longer, goes on; a late reply is nobody's."""

    async def of(way: Way) -> None:
        way.dial.connect = lambda: asyncio.sleep(0.03)
        way.ask()
        await asyncio.sleep(0.031)
        assert way.ended == [(0.02, None)]
        (line,) = way.dial.lines
        way.ask()
        await asyncio.sleep(0.025)
        assert way.ended == [(0.02, None)] * 2
        line.answer(b"late")
        assert len(way.ended) == 2
        assert way.channel.errors["timeout"] == 2

    trial(of)


def test_a_reply_that_is_there_is_in_time() -> None:
    """Whoever was too busy to read it for all of its budget reads it before giving it up."""

    async def of(way: Way) -> None:
        loop = asyncio.get_running_loop()
        way.ask()
        await turn()
        (line,) = way.dial.lines
        readable, sending = socket.socketpair()
        with readable, sending:
            loop.add_reader(readable, lambda: line.answer(readable.recv(9)))
            sending.send(b"1")
            # All callbacks of one turn run before the loop looks at its sockets again.
            way.stall(0.1)
            await asyncio.sleep(0.01)
            loop.remove_reader(readable)
        assert [replies for _, replies in way.ended] == [[b"1"]]
        assert way.channel.errors["timeout"] == 0

    trial(of)


@pytest.mark.parametrize("fault", [OSError("refused"), None])
def test_what_cannot_connect_opens_the_breaker(fault: OSError | None) -> None:
    """Whether it is told no or nothing: after five failures nobody waits, nothing is dialled."""

    async def of(way: Way) -> None:
        async def connect() -> None:
            if fault is not None:
                raise fault
            await asyncio.sleep(3600)

        way.dial.connect = connect
        for _ in range(50):
            way.ask()
            await asyncio.sleep(0.02)
        assert state(way.channel) == "open"
        assert len(way.ended) == 50
        assert max(seconds for seconds, _ in way.ended) <= 0.02
        assert [seconds for seconds, _ in way.ended[5:]] == [0] * 45
        assert way.dial.dialled <= 5

    trial(of)


def test_the_breaker_ends_all_that_waits_when_it_opens() -> None:
    """Those that came last do not wait out a budget that is known to be in vain."""

    async def of(way: Way) -> None:
        way.ask()
        await turn()
        for _ in range(9):
            await asyncio.sleep(0.001)
            way.ask()
        await asyncio.sleep(0.016)
        assert state(way.channel) == "open"
        assert [seconds for seconds, _ in way.ended[:5]] == [0.02, 0.02, 0.02, 0.02, 0.02]
        assert all(0.014 <= seconds < 0.02 for seconds, _ in way.ended[5:])
        assert len(way.ended) == 10
        assert way.dial.lines[0].aborted

    trial(of)


def test_a_probe_is_nobodys_call() -> None:
    """The call that finds it due ends at once; the ones after it are answered on its line."""

    async def of(way: Way) -> None:
        for _ in range(5):
            way.channel.breaker.failed()
        await asyncio.sleep(1)
        way.ask()
        assert way.ended == [(0, None)]
        await turn()
        (line,) = way.dial.lines
        assert line.asked[0][0] == [("PING",)]
        assert state(way.channel) == "half-open"
        way.ask()
        line.answer(b"PONG")
        await turn()
        assert state(way.channel) == "closed"
        way.ask()
        line.answer(b"1")
        assert way.ended == [(0, None), (0, None), (0, [b"1"])]

    trial(of)


def test_a_probe_that_is_refused_keeps_the_breaker_open() -> None:
    """A server that is there but says no is of no use."""

    async def of(way: Way) -> None:
        for _ in range(5):
            way.channel.breaker.failed()
        await asyncio.sleep(1)
        assert not way.channel.usable()
        await turn()
        way.dial.lines[0].answer(hiredis.ReplyError("OOM full"))
        await turn()
        assert state(way.channel) == "open"
        assert way.dial.lines[0].aborted

    trial(of)


@pytest.mark.parametrize(("error", "left"), [("READONLY no", True), ("OOM full", False)])
def test_a_server_that_is_a_copy_is_left(error: str, left: bool) -> None:  # noqa: FBT001
    """The next call looks for the master; one that is full is no other one's fault."""

    async def of(way: Way) -> None:
        way.ask()
        await turn()
        way.dial.lines[0].answer(hiredis.ReplyError(error))
        assert way.dial.lines[0].aborted == left
        assert way.channel.errors["refused"] == 1
        ((_, replies),) = way.ended
        assert str(replies[0]) == error
        way.ask()
        await turn()
        assert way.dial.dialled == 1 + left

    trial(of)


def test_a_line_that_stays_silent_is_given_up() -> None:
    """Even where failures are too far apart for the breaker."""

    async def of(way: Way) -> None:
        for _ in range(3):
            way.ask()
            await asyncio.sleep(1)
        assert state(way.channel) == "closed"
        assert way.dial.lines[0].aborted
        way.ask()
        await turn()
        assert len(way.dial.lines) == 2

    trial(of)


def test_a_closed_channel_gives_nothing() -> None:
    """What is under way ends, and nothing is dialled any more."""

    async def of(way: Way) -> None:
        way.dial.connect = lambda: asyncio.sleep(3600)
        way.ask()
        await turn()
        await way.channel.aclose()
        way.ask()
        assert way.ended == [(0, None)] * 2
        assert way.dial.dialled == 1

    trial(of)
