# SPDX-License-Identifier: Apache-2.0
"""Batch: who is next, who is refused at once, and who is dropped."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest

from gateway.errors import DeadlineExceeded, Shed
from gateway.wire.message import InferRequest, InferResponse
from tests.support.upstream import Fleet, request, settle, values


def asked(value: float, *, priority: int = 0, tenant: str = "") -> InferRequest:
    """One row of *value*."""
    made = request(value)
    made.priority, made.tenant = priority, tenant
    return made


async def served(fleet: Fleet, waiting: list[InferRequest]) -> list[float]:
    """The first values of all batches in the order in which they leave, one slot for all."""
    blocker = fleet.ask()
    await settle()
    tasks = [fleet.ask(each) for each in waiting]
    await settle()
    order: list[float] = []
    (first,) = fleet.waiting
    first.respond()
    await blocker
    await settle()
    while fleet.waiting:
        (sent,) = fleet.waiting
        order += [float(value) for value in sent.request.inputs[0].array()[:, 0]]
        sent.respond()
        await settle()
    answers = await asyncio.gather(*tasks)
    assert [values(answer) for answer in answers] == [
        [float(value) for value in each.inputs[0].array()[:, 0]] for each in waiting
    ]
    fleet.assert_idle()
    return order


async def test_a_higher_priority_goes_first() -> None:
    """1 before the default, which is 2, before 3 and all above it."""
    waiting = [asked(3, priority=3), asked(2), asked(9, priority=9), asked(1, priority=1)]
    assert await served(Fleet(max_rows=1), waiting) == [1, 2, 3, 9]


async def test_what_has_time_rides_along() -> None:
    """A batch with room takes lower priorities too: that delays nobody."""
    fleet = Fleet(max_rows=3)
    order = await served(fleet, [asked(3, priority=3), asked(2), asked(1, priority=1)])
    assert order == [1, 2, 3]
    assert len(fleet.sent) == 2


async def test_tenants_take_turns() -> None:
    """Who has sent much waits for who has sent little, within one priority."""
    waiting = [asked(value, tenant="much") for value in range(1, 7)]
    waiting += [asked(value, tenant="little") for value in (11, 12)]
    order = await served(Fleet(max_rows=1), waiting)
    assert set(order[:4]) == {1, 2, 11, 12}
    assert order[4:] == [3, 4, 5, 6]


async def test_a_full_queue_drops_the_lowest_priority_for_a_higher_one() -> None:
    """The newest of them; among equals the queue is full."""
    fleet = Fleet(up=False, queue_rows=2, max_rows=1)
    low = [fleet.ask(asked(value, priority=3)) for value in (1, 2)]
    await settle()
    high = fleet.ask(asked(3, priority=1))
    await settle()
    with pytest.raises(Shed, match="is full"):
        await low[1]
    assert not low[0].done()
    with pytest.raises(Shed, match="is full"):
        await fleet.ask(asked(4, priority=3))
    assert fleet.telemetry.shed.cell("m", "queue_full").value == 2
    for task in (low[0], high):
        task.cancel()
    await settle()
    fleet.assert_idle()


async def test_a_full_queue_turns_bodies_away_undecoded() -> None:
    """Unless they may have a priority, or a lower one waits that could be dropped."""
    fleet = Fleet(up=False, queue_rows=2, max_rows=1)
    away = fleet.batch.turn_away
    away(b"{}")
    waiting = [fleet.ask(asked(1)), fleet.ask(asked(2))]
    await settle()
    with pytest.raises(Shed, match="is full"):
        away(b"{}")
    away(b'{"parameters": {"priority": 1}}')
    away(b'{"parameters": {"\\u0070riority": 1}}')
    waiting.pop().cancel()
    waiting.append(fleet.ask(asked(3, priority=3)))
    await settle()
    away(b"{}")
    for task in waiting:
        task.cancel()
    await settle()
    fleet.assert_idle()


async def test_nothing_is_dropped_for_what_finds_no_room_even_then() -> None:
    """A higher priority that is too large leaves the lower ones where they are."""
    fleet = Fleet(up=False, queue_rows=4, max_rows=1)
    waiting = [fleet.ask(asked(1)), fleet.ask(asked(2)), fleet.ask(asked(3, priority=3))]
    await settle()
    large = request(4, 5, 6)
    large.priority = 2
    with pytest.raises(Shed, match="is full"):
        await fleet.ask(large)
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await settle()
    fleet.assert_idle()


def drains_at(fleet: Fleet, rows_per_second: float) -> None:
    """Let the queue's rate be known."""
    now = 0.0
    rate = fleet.batch._rate
    rate.waits(now)
    for _ in range(20):
        now += 1 / rows_per_second
        rate.landed(1, now, waiting=True)
    rate.landed(0, now, waiting=False)


async def test_refuses_at_once_what_would_be_late() -> None:
    """Ten rows a second and five ahead: half a second is too long for who has a tenth."""
    fleet = Fleet(up=False, max_rows=2)
    drains_at(fleet, 10)
    ahead = [fleet.ask(request(value)) for value in range(5)]
    await settle()
    with pytest.raises(Shed, match=r"5 rows wait .* the request has 0\.[01]") as refused:
        await fleet.ask(request(6, deadline=perf_counter() + 0.1))
    assert refused.value.retry_after == 1.0
    assert fleet.telemetry.shed.cell("m", "queue_predicted").value == 1
    outcomes = fleet.telemetry.queue_seconds.cell("m", "rejected_predicted")
    assert sum(outcomes.counts) == 1
    patient = fleet.ask(request(7, deadline=perf_counter() + 60))
    await settle()
    assert not patient.done()
    for task in (*ahead, patient):
        task.cancel()
    await settle()
    fleet.assert_idle()


async def test_a_higher_priority_is_not_late_behind_lower_ones() -> None:
    """Only what goes before it counts."""
    fleet = Fleet(up=False, max_rows=2)
    drains_at(fleet, 10)
    ahead = [fleet.ask(asked(value, priority=3)) for value in range(5)]
    await settle()
    urgent = request(6, deadline=perf_counter() + 0.2)
    urgent.priority = 1
    task = fleet.ask(urgent)
    await settle()
    assert not task.done() or isinstance(task.exception(), DeadlineExceeded)
    for each in (*ahead, task):
        each.cancel()
    await settle()


async def test_the_newest_goes_first_once_the_oldest_has_waited_too_long() -> None:
    """In a standing overload the oldest are lost in any case."""
    fleet = Fleet(max_rows=1)
    fleet.batch._newest_first_after = 1e-9
    order = await served(fleet, [request(1), request(2), request(3)])
    assert order == [3, 2, 1]


async def test_what_is_late_never_reaches_a_worker() -> None:
    """Its deadline passed in the queue: it is dropped before dispatch, whatever the timer does."""
    fleet = Fleet()
    blocker = fleet.ask()
    await settle()
    late, good = request(1, deadline=perf_counter() + 60), request(2)
    tasks: list[asyncio.Task[InferResponse]] = [fleet.ask(late), fleet.ask(good)]
    await settle()
    late.deadline = 0.0
    fleet.waiting[0].respond()
    await blocker
    await settle()
    (sent,) = fleet.waiting
    assert sent.request is good
    sent.respond()
    with pytest.raises(DeadlineExceeded, match="in queue"):
        await tasks[0]
    assert values(await tasks[1]) == [2]
    assert sum(fleet.telemetry.queue_seconds.cell("m", "expired").counts) == 1
    fleet.assert_idle()
