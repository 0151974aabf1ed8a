# SPDX-License-Identifier: Apache-2.0
"""Slow start: the cap of who comes back grows, while others are warm."""

from __future__ import annotations

import asyncio

from gateway.errors import UpstreamError
from gateway.upstream.slow_start import SlowStart
from tests.support import virtual
from tests.support.upstream import Fleet, settle


class Stage:
    """*size* endpoints in virtual time, with a slow start of ten seconds."""

    def __init__(self, size: int, *, cap: int, floor: float = 0.1, window: float = 10.0) -> None:
        loop = asyncio.get_running_loop()
        self.fleet = Fleet(size, up=False, cap=cap, consecutive=1)
        self.fleet.pool._slow_start = SlowStart(
            self.fleet.pool.changed, window=window, floor=floor, clock=loop.time
        )
        self.began = loop.time()
        for peer in self.fleet.peers:
            peer.comes_up()

    @property
    def caps(self) -> list[int]:
        """The caps of all endpoints."""
        return [endpoint.cap for endpoint in self.fleet.pool.endpoints]

    def returns(self, index: int) -> None:
        """A worker is started again."""
        self.fleet.peers[index].goes_down()
        self.fleet.peers[index].comes_up("2")


def test_a_cap_grows_to_the_whole() -> None:
    """From the floor, evenly over the window; whoever waits is told each time."""

    async def scenario() -> None:
        stage = Stage(2, cap=10, floor=0.2)
        await asyncio.sleep(30)
        stage.returns(0)
        told = []
        stage.fleet.pool.on_change(lambda: told.append(stage.caps[0]))
        seen = []
        for _ in range(12):
            seen.append(stage.caps[0])
            await asyncio.sleep(1.0001)
        assert seen == [2, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]
        assert told[-1] == 10
        assert stage.caps[1] == 10

    virtual.run(scenario())


def test_nobody_is_spared_while_all_are_new() -> None:
    """At the start there is nobody who could do the work instead."""

    async def scenario() -> None:
        stage = Stage(3, cap=10)
        assert stage.caps == [10, 10, 10]
        await asyncio.sleep(5)
        stage.returns(0)
        assert stage.caps == [10, 10, 10]

    virtual.run(scenario())


def test_nobody_is_spared_alone() -> None:
    """The only worker takes what there is."""

    async def scenario() -> None:
        stage = Stage(2, cap=10)
        await asyncio.sleep(30)
        stage.fleet.peers[1].goes_down()
        stage.returns(0)
        assert stage.caps[0] == 10

    virtual.run(scenario())


def test_at_least_one_request_goes_to_it() -> None:
    """A floor of a cap of two is one, until the window is over."""

    async def scenario() -> None:
        stage = Stage(2, cap=2)
        await asyncio.sleep(30)
        stage.returns(0)
        assert stage.caps[0] == 1
        await asyncio.sleep(9.9)
        assert stage.caps[0] == 1
        await asyncio.sleep(0.2)
        assert stage.caps[0] == 2

    virtual.run(scenario())


def test_a_large_cap_does_not_take_a_timer_for_each_step() -> None:
    """Twenty steps are smooth enough."""

    async def scenario() -> None:
        stage = Stage(2, cap=4000)
        await asyncio.sleep(30)
        told: list[int] = []
        stage.returns(0)
        stage.fleet.pool.on_change(lambda: told.append(stage.caps[0]))
        await asyncio.sleep(11)
        assert len(told) == 20
        assert told == sorted(told)
        assert told[-1] == 4000

    virtual.run(scenario())


def test_a_second_return_begins_anew() -> None:
    """The timers of the first one are gone."""

    async def scenario() -> None:
        stage = Stage(2, cap=10)
        await asyncio.sleep(30)
        stage.returns(0)
        await asyncio.sleep(8.5)
        stage.returns(0)
        assert stage.caps[0] == 1
        await asyncio.sleep(2.1)
        assert stage.caps[0] == 2

    virtual.run(scenario())


def test_an_ejection_ends_in_a_slow_start() -> None:
    """Behind the one probe comes a little, not everything."""

    async def scenario() -> None:
        stage = Stage(2, cap=10)
        await asyncio.sleep(30)
        fleet = stage.fleet
        endpoint = fleet.pool.endpoints[0]
        endpoint.ejection.eject()
        fleet.clock.now += 60
        fleet.pool.endpoints[1].draining = True
        task = fleet.ask(of=fleet.balance)
        await settle()
        fleet.pool.endpoints[1].draining = False
        fleet.waiting[0].respond()
        await task
        assert (endpoint.state, endpoint.cap) == ("ready", 1)

    virtual.run(scenario())


def test_nobody_is_spared_once_the_warm_ones_are_gone() -> None:
    """A reload that replaces all workers must not leave a model with a tenth of its slots."""

    async def scenario() -> None:
        stage = Stage(4, cap=10)
        pool = stage.fleet.pool
        await asyncio.sleep(30)
        stage.returns(0)
        stage.returns(1)
        assert stage.caps == [1, 1, 10, 10]
        told: list[list[int]] = []
        pool.on_change(lambda: told.append(stage.caps))
        first, second = pool.endpoints[2:]
        pool.remove(first)
        assert stage.caps == [1, 1, 10]
        pool.remove(second)
        assert stage.caps == [10, 10]
        assert told[-1] == [10, 10]
        await asyncio.sleep(20)
        assert stage.caps == [10, 10]

    virtual.run(scenario())


def test_a_window_of_nothing_turns_it_off() -> None:
    """The whole cap at once."""

    async def scenario() -> None:
        stage = Stage(2, cap=10, window=0)
        await asyncio.sleep(30)
        stage.returns(0)
        assert stage.caps == [10, 10]

    virtual.run(scenario())


async def test_a_failed_probe_lets_the_last_one_in() -> None:
    """Never the last endpoint: what fails is better than nothing."""
    fleet = Fleet(2, consecutive=1, attempts=1)
    endpoint = fleet.pool.endpoints[0]
    endpoint.ejection.eject()
    fleet.clock.now += 60
    fleet.peers[1].goes_down()
    task = fleet.ask(of=fleet.retry)
    await settle()
    fleet.waiting[0].fail(UpstreamError("scripted"))
    await asyncio.gather(task, return_exceptions=True)
    assert endpoint.state == "ready"
