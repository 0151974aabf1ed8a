# SPDX-License-Identifier: Apache-2.0
"""BusyPoll looks for as long as it is told, and then lets the loop sleep."""

from __future__ import annotations

import asyncio

from gateway.wire.busy_poll import BusyPoll
from tests.support.upstream import Clock, settle


async def test_looks_until_its_time_is_over() -> None:
    """Each turn of the loop it gives way to others; a later event makes it look longer."""
    clock, ways = Clock(), []
    poll = BusyPoll(
        asyncio.get_running_loop(), 0.5, clock=clock, give_way=lambda: ways.append(clock.now)
    )
    poll()
    await settle()
    looked = len(ways)
    assert looked > 10
    clock.now += 0.4
    poll()
    clock.now += 0.4
    await settle()
    assert len(ways) > looked + 10
    assert repr(poll) == "<BusyPoll 500000 us looking>"
    clock.now += 0.2
    await settle()
    looked = len(ways)
    await settle()
    assert len(ways) == looked
    assert repr(poll) == "<BusyPoll 500000 us asleep>"


async def test_many_events_are_one_look_a_turn() -> None:
    """However much happens, the loop has one thing more to do."""
    clock, ways = Clock(), []
    poll = BusyPoll(
        asyncio.get_running_loop(), 1.0, clock=clock, give_way=lambda: ways.append(clock.now)
    )
    for _ in range(5):
        poll()
    await asyncio.sleep(0)
    assert len(ways) == 1
    clock.now += 2
    await settle()
