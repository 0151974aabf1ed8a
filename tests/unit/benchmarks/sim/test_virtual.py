# SPDX-License-Identifier: Apache-2.0
"""Virtual time: hours in a moment, and the gateway goes by them."""

from __future__ import annotations

import asyncio
import importlib
from time import perf_counter

import pytest

from benchmarks.sim.virtual import CLOCKED, StuckError, VirtualLoop, clocked


def test_an_hour_passes_at_once() -> None:
    """Timers come in their order, each at its own instant."""

    async def scenario() -> list[float]:
        loop = asyncio.get_running_loop()
        seen: list[float] = []
        for seconds in (3600.0, 1.0, 60.0):
            loop.call_later(seconds, lambda: seen.append(round(loop.time(), 6)))
        await asyncio.sleep(7200)
        return seen

    began = perf_counter()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(scenario()) == [1.0, 60.0, 3600.0]
    assert perf_counter() - began < 60


def test_a_loop_that_nothing_would_wake_says_so() -> None:
    """It would hang for ever."""

    async def scenario() -> None:
        await asyncio.get_running_loop().create_future()

    loop = VirtualLoop()
    task = loop.create_task(scenario())
    with pytest.raises(StuckError):
        loop.run_until_complete(task)
    task.cancel()
    loop.call_later(0, loop.stop)
    loop.run_forever()
    loop.close()


def test_the_gateway_goes_by_the_clock_it_is_given_for_a_while() -> None:
    """Every module that is listed reads the time by that name; afterwards it is the real one."""
    modules = [importlib.import_module(name) for name in CLOCKED]
    with clocked(lambda: 7.0):
        assert [module.perf_counter() for module in modules] == [7.0] * len(modules)
    assert [module.perf_counter for module in modules] == [perf_counter] * len(modules)
