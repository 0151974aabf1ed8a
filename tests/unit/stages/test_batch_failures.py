# SPDX-License-Identifier: Apache-2.0
"""Batch, when something fails: who gets the error, and who is asked again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.errors import (
    BadAnswer,
    ConnectFailed,
    ConnectionLost,
    Draining,
    GatewayError,
    InvalidRequest,
    PoisonInput,
    UpstreamError,
)
from gateway.wire.message import InferResponse
from gateway.wire.tensor import Tensor
from tests.support.upstream import Fleet, echo, gather_behind, request, settle, values

if TYPE_CHECKING:
    from tests.support.upstream import ScriptedPeer


def lost() -> ConnectionLost:
    """What everything in flight gets when a worker goes."""
    return ConnectionLost("the worker went away")


async def test_a_client_error_in_a_batch_is_found_by_sending_singly() -> None:
    """Only the member at fault gets the error; nothing is sent a third time."""
    fleet = Fleet()
    tasks, batch = await gather_behind(fleet, [request(1), request(666), request(3)])
    batch.fail(InvalidRequest("one of them is bad"))
    await settle()
    singly = 0
    while fleet.waiting:
        (sent,) = fleet.waiting
        singly += 1
        assert sent.request.members == 1
        if 666 in values(echo(sent.request)):
            sent.fail(InvalidRequest("666 is not allowed"))
        else:
            sent.respond()
        await settle()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert singly == 3
    assert isinstance(results[1], InvalidRequest)
    assert str(results[1]) == "666 is not allowed"
    assert [values(r) for r in results if isinstance(r, InferResponse)] == [[1], [3]]
    fleet.assert_idle()


@pytest.mark.parametrize(
    "shape", [(2, 2), (4, 2), (), (3,)], ids=["fewer rows", "more rows", "scalar", "short data"]
)
async def test_an_answer_that_does_not_line_up_reaches_nobody(shape: tuple[int, ...]) -> None:
    """Row counts are checked before a split; the members are asked again one by one."""
    fleet = Fleet()
    tasks, batch = await gather_behind(fleet, [request(1), request(2), request(3)])
    data = np.zeros(shape, np.float32).tobytes()
    data = data if shape != (3,) else data[:-1]
    batch.respond(InferResponse((Tensor("y", "FP32", shape, data),)))
    await answer_all(fleet)
    assert [values(answer) for answer in await asyncio.gather(*tasks)] == [[1], [2], [3]]


@pytest.mark.parametrize(
    "outputs",
    [
        (),
        (Tensor("y", "BYTES", (3,), b"\xff\xff\xff\xff"),),
        (Tensor("y", "BYTES", (3,), b"\0\0\0\0"),),
    ],
    ids=["no outputs", "a length beyond the data", "too few elements"],
)
async def test_a_damaged_answer_leaves_nobody_waiting(outputs: tuple[Tensor, ...]) -> None:
    """Whatever a worker says, every member of the batch gets an answer or an error."""
    fleet = Fleet()
    tasks, batch = await gather_behind(fleet, [request(1), request(2), request(3)])
    batch.respond(InferResponse(outputs))
    await answer_all(fleet)
    assert [values(answer) for answer in await asyncio.gather(*tasks)] == [[1], [2], [3]]


async def answer_all(fleet: Fleet) -> None:
    """Echo whatever still comes, requeued requests included."""
    await settle()
    while fleet.waiting or fleet.batch.queued_rows:
        for sent in fleet.waiting:
            sent.respond()
        await settle()


@pytest.mark.parametrize("kind", [ConnectionLost, BadAnswer, UpstreamError])
async def test_one_failed_batch_costs_no_member_an_error(kind: type[UpstreamError]) -> None:
    """A batch that a worker lost or failed is sent singly, and each member is answered."""
    fleet = Fleet(2, attempts=1)
    blockers = [fleet.ask(request(0)), fleet.ask(request(0))]
    await settle()
    tasks = [fleet.ask(request(value)) for value in (1, 2, 3)]
    await settle()
    fleet.waiting[0].respond()
    await settle()
    batch = next(sent for sent in fleet.waiting if sent.request.members > 1)
    batch.fail(kind("it did not work"))
    await answer_all(fleet)
    assert [values(answer) for answer in await asyncio.gather(*tasks)] == [[1], [2], [3]]
    await asyncio.gather(*blockers)
    fleet.assert_idle()


@pytest.mark.parametrize("attempts", [1, 2, 3])
async def test_a_member_has_one_attempt_more_than_its_batch(attempts: int) -> None:
    """The attempts that failed were its own too; only another member's fault can have been."""
    fleet = Fleet(attempts=attempts)
    tasks, _ = await gather_behind(fleet, [request(5), request(6)])
    while not all(task.done() for task in tasks):
        for sent in fleet.waiting:
            sent.fail(UpstreamError("scripted"))
        await settle()
    assert [type(task.exception()) for task in tasks] == [UpstreamError, UpstreamError]
    rows = [row[0] for sent in fleet.sent for row in sent.request.inputs[0].array().tolist()]
    assert rows.count(5) == rows.count(6) == attempts + 1
    fleet.assert_idle()


async def test_a_batch_that_never_left_is_not_multiplied() -> None:
    """When no worker can be reached, sending singly would only multiply the failures."""
    fleet = Fleet(attempts=1)
    tasks, batch = await gather_behind(fleet, [request(1), request(2)])
    batch.fail(ConnectFailed("nothing there"))
    await settle()
    (again,) = fleet.waiting
    again.fail(ConnectFailed("nothing there"))
    await settle()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectFailed, ConnectFailed]
    assert results[0] is not results[1]
    fleet.assert_idle()


async def test_members_of_a_lost_batch_are_sent_one_at_a_time() -> None:
    """Each may be what killed the worker; alone in flight it cannot be mistaken."""
    fleet = Fleet(2, cap=4)
    tasks = [fleet.ask(request(value)) for value in (1, 2, 3, 4)]
    await settle()
    victim = fleet.peers[0]
    victim.dies(lost)
    await settle()
    other = fleet.peers[1]
    assert [sent.request.members for sent in other.sent] == [2, 1]
    await answer_all(fleet)
    assert [values(answer) for answer in await asyncio.gather(*tasks)] == [[1], [2], [3], [4]]


async def test_poison_kills_two_workers_and_no_third() -> None:
    """The request at fault answers 502 poison_input; its neighbours get their predictions."""
    fleet = Fleet(4)
    tasks = [fleet.ask(request(value)) for value in (1, 666, 3, 4, 5, 6, 7, 8)]
    dead = 0
    await settle()
    while fleet.waiting or fleet.batch.queued_rows:
        for peer in fleet.peers:
            dead += serve(peer)
        await settle()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert dead == 2
    assert isinstance(results[1], PoisonInput)
    assert results[1].status == 502
    answers = [values(result) for result in results if isinstance(result, InferResponse)]
    assert answers == [[1], [3], [4], [5], [6], [7], [8]]
    fleet.assert_idle()


def serve(peer: ScriptedPeer) -> bool:
    """Answer what *peer* has; a row of 666 kills it. Returns whether it died."""
    for sent in peer.sent:
        if sent.answer.done():
            continue
        if 666 in values(echo(sent.request)):
            peer.dies(lost)
            return True
        sent.respond()
    return False


async def test_a_refusing_worker_gives_the_requests_back() -> None:
    """A draining worker's refusal is no error: another one serves what it had."""
    fleet = Fleet(2)
    task = fleet.ask(request(5))
    await settle()
    (sent,) = fleet.waiting
    sent.fail(Draining("no more"))
    await answer_all(fleet)
    assert values(await task) == [5]
    assert sorted(endpoint.state for endpoint in fleet.pool.endpoints) == ["draining", "ready"]


async def test_the_only_worker_dies_and_its_requests_wait_for_the_next_life() -> None:
    """A restart costs time, not an error."""
    fleet = Fleet()
    tasks, _ = await gather_behind(fleet, [request(1), request(2)])
    fleet.peers[0].dies(lost)
    await settle()
    assert fleet.batch.queued_rows == 2
    fleet.peers[0].comes_up("2")
    await answer_all(fleet)
    assert [values(answer) for answer in await asyncio.gather(*tasks)] == [[1], [2]]
    fleet.assert_idle()


async def test_an_unexpected_error_reaches_whoever_waits() -> None:
    """A fault of the program is not swallowed, and leaves nothing behind."""
    fleet = Fleet()
    task = fleet.ask()
    sent = await fleet.peers[0].request()
    sent.fail(ZeroDivisionError("a fault"))
    with pytest.raises(ZeroDivisionError):
        await task
    fleet.assert_idle()


async def test_members_get_errors_of_their_own() -> None:
    """One object raised in many places would gather all their tracebacks; all are told the same."""
    fleet = Fleet(attempts=1)
    tasks, batch = await gather_behind(fleet, [request(1), request(2)])
    batch.fail(GatewayError("for all", retry_after=7.0))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [getattr(result, "retry_after", None) for result in results] == [7.0, 7.0]
    assert [str(result) for result in results] == ["for all", "for all"]
    assert results[0] is not results[1]
