# SPDX-License-Identifier: Apache-2.0
"""Flights: what sending members again costs, and what waits for another endpoint."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import (
    BadAnswer,
    ConnectionLost,
    DeadlineExceeded,
    InvalidRequest,
    UpstreamError,
)
from gateway.stages.retry_budget import RetryBudget
from gateway.wire.message import InferRequest, InferResponse
from tests.support.upstream import Clock, Fleet, Sent, gather_behind, request, settle, soon, values


def paid(retries: int) -> RetryBudget:
    """A budget of so many retries, to which requests add nothing."""
    return RetryBudget(clock=Clock(), share=0, min_per_second=retries, ttl=1)


async def serve(fleet: Fleet) -> list[Sent]:
    """Answer all that waits until nothing does; gives what was answered."""
    served = []
    await settle()
    while fleet.waiting:
        for sent in fleet.waiting:
            served.append(sent)
            sent.respond()
        await settle()
    return served


# What sending members again costs.


@pytest.mark.parametrize("kind", [UpstreamError, BadAnswer, ConnectionLost])
async def test_members_are_sent_again_for_as_long_as_the_budget_lasts(
    kind: type[UpstreamError],
) -> None:
    """After a worker's failure they are retries; whoever gets none is told of the failure."""
    fleet = Fleet(attempts=1, budget=paid(2))
    tasks, batch = await gather_behind(fleet, [request(value) for value in (1, 2, 3, 4)])
    batch.fail(kind("the worker's fault"))
    served = await serve(fleet)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [values(each) for each in results if isinstance(each, InferResponse)] == [[1], [2]]
    assert [type(each) for each in results[2:]] == [kind, kind]
    assert [str(each) for each in results[2:]] == ["the worker's fault"] * 2
    assert [sent.request.members for sent in served] == [1, 1]
    assert fleet.telemetry.retries.cell("m", "upstream_failed").value == 2
    assert fleet.telemetry.retry_budget_exhausted.cell("m").value == 2
    fleet.assert_idle()


async def test_members_beside_a_bad_input_are_sent_again_for_nothing() -> None:
    """No worker has failed, and nobody is to suffer for what another one sent."""
    fleet = Fleet(budget=paid(0))
    tasks, batch = await gather_behind(fleet, [request(value) for value in (1, 2, 3)])
    batch.fail(InvalidRequest("one of them is bad"))
    await serve(fleet)
    assert [values(await task) for task in tasks] == [[1], [2], [3]]
    assert fleet.telemetry.retries.cell("m", "invalid_request").value == 0
    fleet.assert_idle()


async def test_a_batch_that_is_sent_again_costs_as_many_retries_as_it_has_members() -> None:
    """Its rows are as much work as those of its members."""
    fleet = Fleet(2, budget=paid(3))
    tasks, batch = await behind(fleet, 4)
    batch.fail(UpstreamError("once"))
    # Four are not there; three of the members are sent again by themselves.
    served = await serve(fleet)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(each, InferResponse) for each in results) == 3
    assert [sent.request.members for sent in served] == [1, 1, 1]

    fleet = Fleet(2, budget=paid(4))
    tasks, batch = await behind(fleet, 4)
    batch.fail(UpstreamError("once"))
    served = await serve(fleet)
    assert [values(await task) for task in tasks] == [[1], [2], [3], [4]]
    assert [sent.request.members for sent in served] == [4]
    assert fleet.telemetry.retries.cell("m", "upstream_failed").value == 4


async def behind(fleet: Fleet, count: int) -> tuple[list[asyncio.Task[InferResponse]], Sent]:
    """A batch of *count* members at the first of two peers, while the second has nothing."""
    blockers = [fleet.ask(), fleet.ask()]
    await settle()
    tasks = [fleet.ask(request(value + 1)) for value in range(count)]
    await settle()
    first, second = fleet.waiting
    first.respond()
    await settle()
    second.respond()
    await asyncio.gather(*blockers)
    await settle()
    (batch,) = fleet.waiting
    return tasks, batch


async def test_a_batch_pays_in_for_each_of_its_members() -> None:
    """A fifth of the requests may be sent again, however they were merged."""
    budget = RetryBudget(clock=Clock(), share=0.2, min_per_second=0)
    fleet = Fleet(budget=budget)
    tasks, batch = await gather_behind(fleet, [request(value) for value in (1, 2, 3, 4)])
    batch.respond()
    await asyncio.gather(*tasks)
    # The one before it, which held the slot, is the fifth.
    assert budget.balance == 5


async def test_what_found_no_endpoint_has_not_paid() -> None:
    """Nothing was sent, so nothing may be sent again for it; however often it comes back."""
    budget = RetryBudget(clock=Clock(), share=0.2, min_per_second=0)
    fleet = Fleet(up=False, budget=budget)
    for _ in range(10):
        with pytest.raises(Exception, match="no endpoint"):
            await fleet.ask(of=fleet.retry)
    assert budget.balance == 0


# What waits for another endpoint.


async def failed_while_the_other_is_busy(
    fleet: Fleet, asked: InferRequest
) -> tuple[asyncio.Task[InferResponse], int, Sent]:
    """*asked*, failed by one of two peers: its task, that peer, and what keeps the other busy."""
    task = fleet.ask(asked)
    await settle()
    (sent,) = fleet.waiting
    failed = next(number for number, peer in enumerate(fleet.peers) if sent in peer.sent)
    blocker = fleet.ask(request(0))
    await settle()
    (busy,) = [each for each in fleet.waiting if each is not sent]
    sent.fail(UpstreamError("scripted"))
    blocker.add_done_callback(lambda _: None)
    await settle()
    return task, failed, busy


@pytest.mark.parametrize("seed", range(4))
async def test_waits_for_another_endpoint_rather_than_for_the_one_that_failed(seed: int) -> None:
    """Also where that one alone has room; others take the room meanwhile."""
    fleet = Fleet(2, seed=seed)
    task, failed, busy = await failed_while_the_other_is_busy(fleet, request(7))
    assert fleet.waiting == [busy]
    assert fleet.batch.queued_rows == 1
    other = fleet.ask(request(8))
    await settle()
    assert [values_of(sent) for sent in fleet.peers[failed].sent] == [[7], [8]]
    busy.respond()
    await settle()
    assert values_of(fleet.peers[1 - failed].sent[-1]) == [7]
    assert fleet.batch.queued_rows == 0
    await serve(fleet)
    assert [values(await each) for each in (task, other)] == [[7], [8]]
    fleet.assert_idle()


def values_of(sent: Sent) -> list[float]:
    """What was asked."""
    return [float(value) for value in sent.request.inputs[0].array()[:, 0]]


async def test_takes_the_one_that_failed_when_the_other_is_gone() -> None:
    """A second try there beats none."""
    fleet = Fleet(2)
    task, failed, busy = await failed_while_the_other_is_busy(fleet, request(7))
    busy.respond()
    fleet.peers[1 - failed].goes_down()
    await settle()
    assert [values_of(sent) for sent in fleet.waiting] == [[7]]
    assert len(fleet.peers[failed].sent) == 2
    await serve(fleet)
    assert values(await task) == [7]


async def test_a_batch_waits_for_another_endpoint_as_it_is() -> None:
    """It is neither taken apart nor mixed with others, and goes before them."""
    fleet = Fleet(2)
    blockers = [fleet.ask(request(0)) for _ in range(2)]
    await settle()
    tasks = [fleet.ask(request(value)) for value in (1, 2, 3)]
    await settle()
    fleet.waiting[0].respond()
    await settle()
    (batch,) = [sent for sent in fleet.waiting if sent.request.members == 3]
    (busy,) = [sent for sent in fleet.waiting if sent.request.members == 1]
    batch.fail(UpstreamError("scripted"))
    await settle()
    assert fleet.batch.queued_rows == 3
    busy.respond()
    await settle()
    (again,) = fleet.waiting
    assert values_of(again) == [1, 2, 3]
    assert again.request.attempts == 2
    await serve(fleet)
    assert [values(await task) for task in tasks] == [[1], [2], [3]]
    await asyncio.gather(*blockers)
    fleet.assert_idle()


async def test_whoever_leaves_meanwhile_leaves_nothing_behind() -> None:
    """Nothing is sent for it when there is room."""
    fleet = Fleet(2)
    task, failed, busy = await failed_while_the_other_is_busy(fleet, request(7))
    task.cancel()
    await settle()
    assert fleet.batch.queued_rows == 0
    busy.respond()
    await settle()
    assert not fleet.waiting
    assert len(fleet.peers[failed].sent) == 1
    fleet.assert_idle()


async def test_the_deadline_ends_that_wait_too() -> None:
    """And says what was waited for."""
    fleet = Fleet(2)
    task, _, busy = await failed_while_the_other_is_busy(fleet, request(7, deadline=soon(0.05)))
    with pytest.raises(DeadlineExceeded, match="a worker that had not failed it"):
        await task
    busy.respond()
    await settle()
    fleet.assert_idle()


# How far a request has come.


async def test_a_member_on_its_way_knows_that_an_attempt_was_made() -> None:
    """Whoever counts clients that leave asks for it at that moment."""
    fleet = Fleet()
    members = [request(1), request(2)]
    tasks, batch = await gather_behind(fleet, members)
    assert [member.trace.gather().attempts for member in members] == [1, 1]
    tasks[0].cancel()
    batch.respond()
    assert values(await tasks[1]) == [2]


async def test_a_member_sent_alone_has_the_attempts_of_its_batch_too() -> None:
    """As many as were made for it, whatever it travelled with."""
    fleet = Fleet(attempts=2)
    members = [request(1), request(2)]
    tasks, batch = await gather_behind(fleet, members)
    batch.fail(BadAnswer("once"))
    await settle()
    fleet.waiting[0].fail(BadAnswer("twice"))
    await serve(fleet)
    await asyncio.gather(*tasks)
    assert [member.trace.gather().attempts for member in members] == [3, 3]
    assert {member.trace.endpoint for member in members} == {"e0"}
