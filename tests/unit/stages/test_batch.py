# SPDX-License-Identifier: Apache-2.0
"""Batch: who waits, who leaves with whom, and who gets which answer."""

from __future__ import annotations

import asyncio
from time import perf_counter

import numpy as np
import pytest

from gateway.errors import (
    DeadlineExceeded,
    Shed,
)
from gateway.wire.message import InferRequest, RequestedOutput
from gateway.wire.tensor import Tensor
from tests.support.upstream import (
    MODEL,
    Fleet,
    echo,
    gather_behind,
    request,
    settle,
    soon,
    too_late,
    values,
)

# Leaving.


async def test_a_lone_request_leaves_at_once_as_it_is() -> None:
    """With a free slot nothing is waited for: one turn of the loop, and no merged copy."""
    fleet = Fleet()
    asked = request(3)
    task = fleet.ask(asked)
    sent = await fleet.peers[0].request()
    assert sent.request is asked
    sent.respond()
    assert values(await task) == [3]
    fleet.assert_idle()


async def test_what_waits_for_a_slot_leaves_together() -> None:
    """While the slot is busy requests gather; then one batch answers each with its own rows."""
    fleet = Fleet()
    tasks, batch = await gather_behind(fleet, [request(1), request(2, 3), request(4)])
    assert batch.request.inputs[0].shape == (4, 2)
    assert batch.request.members == 3
    batch.respond()
    assert [values(response) for response in await asyncio.gather(*tasks)] == [[1], [2, 3], [4]]
    fleet.assert_idle()


async def test_a_burst_is_spread_over_idle_endpoints() -> None:
    """Rows are not piled on one worker while another is idle."""
    fleet = Fleet(2)
    tasks = [fleet.ask(request(value)) for value in (1, 2, 3, 4)]
    await settle()
    assert [sent.request.rows for sent in fleet.sent] == [2, 2]
    for sent in fleet.waiting:
        sent.respond()
    answers = await asyncio.gather(*tasks)
    assert [values(answer) for answer in answers] == [[1], [2], [3], [4]]


async def test_a_batch_is_bounded_in_rows() -> None:
    """No batch has more than *max_rows*; the rest waits for the next slot."""
    fleet = Fleet(max_rows=3)
    tasks, batch = await gather_behind(fleet, [request(value) for value in range(5)])
    assert batch.request.rows == 3
    batch.respond()
    await settle()
    (rest,) = fleet.waiting
    assert rest.request.rows == 2
    rest.respond()
    assert [values(answer) for answer in await asyncio.gather(*tasks)] == [[v] for v in range(5)]


async def test_a_request_above_the_bound_goes_alone() -> None:
    """A client's own batch is never cut up."""
    fleet = Fleet(max_rows=2)
    task = fleet.ask(request(1, 2, 3, 4))
    sent = await fleet.peers[0].request()
    assert sent.request.rows == 4
    sent.respond()
    assert values(await task) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "other",
    [
        InferRequest("m", (Tensor.of("x", np.zeros((1, 2))),)),
        InferRequest("m", (Tensor.of("x", np.zeros((1, 3), np.float32)),)),
        InferRequest("m", (Tensor.of("z", np.zeros((1, 2), np.float32)),)),
        request(outputs=(RequestedOutput("y"),)),
        request(parameters={"top": 1}),
        request(parameters={"sequence_id": 1}),
    ],
    ids=["datatype", "shape", "name", "outputs", "parameters", "sequence"],
)
async def test_merges_only_what_is_equal_but_for_its_rows(other: InferRequest) -> None:
    """Another datatype, trailing shape, name, output list or parameter goes on its own."""
    fleet = Fleet()
    blocker = fleet.ask()
    await settle()
    tasks = [fleet.ask(request(1)), fleet.ask(other), fleet.ask(request(2))]
    await settle()
    members = []
    while fleet.waiting:
        (sent,) = fleet.waiting
        members.append(sent.request.members)
        sent.respond()
        await settle()
    assert members == [1, 2, 1]
    await asyncio.gather(blocker, *tasks)
    fleet.assert_idle()


async def test_nothing_is_merged_for_a_model_without_a_batch_dimension() -> None:
    """What the model describes decides, not what the tensors look like."""
    info = type(MODEL)(
        "m", "1", "onnxruntime", MODEL.digest, MODEL.inputs, MODEL.outputs, batched=False
    )
    fleet = Fleet(info=info)
    tasks, batch = await gather_behind(fleet, [request(1), request(2)])
    assert batch.request.members == 1
    batch.respond()
    await settle()
    fleet.waiting[0].respond()
    await asyncio.gather(*tasks)


async def test_the_longest_waiting_class_leaves_first() -> None:
    """Requests that cannot be merged keep their order."""
    fleet = Fleet()
    blocker = fleet.ask()
    await settle()
    asked = [request(1, parameters={"top": 1}), request(2), request(3, parameters={"top": 1})]
    tasks = [fleet.ask(each) for each in asked]
    await settle()
    order = []
    while fleet.waiting:
        (sent,) = fleet.waiting
        order.append(values(echo(sent.request)))
        sent.respond()
        await settle()
    assert order == [[1], [1, 3], [2]]
    await asyncio.gather(blocker, *tasks)


async def test_a_batch_does_not_grow_too_slow_for_a_member() -> None:
    """Three rows take 25 s, two take 20: a member that has 22 s left goes with one other."""
    fleet = Fleet()
    for rows in (1, 2, 4):
        fleet.batch.cost.observe(rows, 10.0 + rows * 5.0)
    tasks, batch = await gather_behind(
        fleet, [request(1, deadline=perf_counter() + 22), request(2), request(3)]
    )
    assert batch.request.rows == 2
    batch.respond()
    await settle()
    fleet.waiting[0].respond()
    await asyncio.gather(*tasks)


# Bounds and waiting.


async def test_sheds_when_the_queue_is_full() -> None:
    """Rows beyond the bound are refused at once, with a time to come back."""
    fleet = Fleet(queue_rows=2)
    tasks = [fleet.ask() for _ in range(1)]
    await settle()
    tasks += [fleet.ask(), fleet.ask()]
    await settle()
    with pytest.raises(Shed, match="its limits are 2 rows") as refused:
        await fleet.ask()
    assert refused.value.retry_after is not None
    assert refused.value.retry_after >= 1
    assert fleet.telemetry.shed.cell("m", "queue_full").value == 1
    while fleet.waiting:
        fleet.waiting[0].respond()
        await settle()
    await asyncio.gather(*tasks)


async def test_sheds_when_the_queue_holds_too_many_bytes() -> None:
    """Few large requests fill the queue as well as many small ones."""
    fleet = Fleet(up=False, queue_bytes=20)
    tasks = [fleet.ask(), fleet.ask()]
    await settle()
    with pytest.raises(Shed, match="20 bytes"):
        await fleet.ask()
    for task in tasks:
        task.cancel()
    await settle()
    fleet.assert_idle()


async def test_sheds_requests_without_rows_too() -> None:
    """A request of no rows takes room in the queue; it must not be a way around its bound."""
    fleet = Fleet(up=False, queue_rows=2)
    empty = InferRequest("m", (Tensor("x", "FP32", (0, 2), b""),))
    tasks = [fleet.ask(empty), fleet.ask(empty)]
    await settle()
    with pytest.raises(Shed):
        await fleet.ask(empty)
    for task in tasks:
        task.cancel()
    await settle()
    fleet.assert_idle()


async def test_requests_without_rows_are_answered() -> None:
    """An empty batch is a batch: merged with others it gets no rows, alone it costs something."""
    fleet = Fleet()
    empty = InferRequest("m", (Tensor("x", "FP32", (0, 2), b""),))
    alone = fleet.ask(empty)
    sent = await fleet.peers[0].request()
    sent.request.trace.infer = 0.001
    sent.respond()
    assert (await alone).outputs[0].shape == (0, 2)
    empty = InferRequest("m", (Tensor("x", "FP32", (0, 2), b""),))
    tasks, batch = await gather_behind(fleet, [request(1), empty, request(2)])
    batch.respond()
    assert [values(answer) for answer in await asyncio.gather(*tasks)] == [[1], [], [2]]


async def test_waits_for_an_endpoint_and_is_served_when_one_comes_up() -> None:
    """Having no worker is a reason to wait, as long as there is time."""
    fleet = Fleet(up=False)
    tasks = [fleet.ask(request(1)), fleet.ask(request(2))]
    await settle()
    assert fleet.batch.queued_rows == 2
    fleet.peers[0].comes_up()
    await settle()
    while fleet.waiting:
        fleet.waiting[0].respond()
        await settle()
    assert [values(answer) for answer in await asyncio.gather(*tasks)] == [[1], [2]]


async def test_a_deadline_passes_in_the_queue() -> None:
    """Who has waited too long gets DeadlineExceeded, and leaves the queue."""
    fleet = Fleet(up=False)
    patient = fleet.ask()
    await too_late(fleet, "in queue")
    assert fleet.batch.queued_rows == 1
    patient.cancel()
    await settle()
    fleet.assert_idle()


async def test_a_deadline_passes_before_the_queue() -> None:
    """A request that is late already is not queued."""
    fleet = Fleet()
    with pytest.raises(DeadlineExceeded, match="before"):
        await fleet.ask(request(deadline=perf_counter() - 1))
    assert fleet.sent == []


async def test_a_deadline_passes_in_flight_and_ends_the_attempt() -> None:
    """Nobody is left to wait, so the worker is told."""
    fleet = Fleet()
    await too_late(fleet, "while a worker had it")
    await settle()
    assert fleet.sent[0].cancelled
    fleet.assert_idle()


async def test_a_deadline_in_flight_spares_the_other_members() -> None:
    """One member's deadline ends that member's wait alone."""
    fleet = Fleet()
    tasks, batch = await gather_behind(fleet, [request(1, deadline=soon(0.02)), request(2)])
    with pytest.raises(DeadlineExceeded):
        await tasks[0]
    assert not batch.cancelled
    batch.respond()
    assert values(await tasks[1]) == [2]


async def test_an_earlier_deadline_is_noticed_behind_a_later_one() -> None:
    """The timer goes by the earliest deadline, whichever came first."""
    fleet = Fleet(up=False)
    late = fleet.ask(request(deadline=perf_counter() + 3600))
    await settle()
    with pytest.raises(DeadlineExceeded):
        await fleet.ask(request(deadline=soon()))
    late.cancel()
    await settle()
    fleet.assert_idle()


# Leaving early.


async def test_a_cancelled_member_leaves_and_the_others_stay() -> None:
    """A client that hangs up costs nobody else an answer."""
    fleet = Fleet()
    tasks, batch = await gather_behind(fleet, [request(1), request(2)])
    tasks[0].cancel()
    await settle()
    assert not batch.cancelled
    batch.respond()
    assert values(await tasks[1]) == [2]
    assert tasks[0].cancelled()
    fleet.assert_idle()


async def test_the_last_cancelled_member_cancels_the_attempt() -> None:
    """When nobody waits any more, the worker is told so."""
    fleet = Fleet()
    tasks, batch = await gather_behind(fleet, [request(1), request(2)])
    for task in tasks:
        task.cancel()
    await settle()
    assert batch.cancelled
    fleet.assert_idle()


async def test_a_client_that_leaves_the_queue_is_counted() -> None:
    """Its time in the queue goes under its own outcome, and its rows are free again."""
    fleet = Fleet(up=False)
    task = fleet.ask(request(1, 2))
    await settle()
    task.cancel()
    await settle()
    fleet.assert_idle()
    assert fleet.telemetry.queue_seconds.cell("m", "client_gone").numbers()[-1] >= 0


# Notes.


async def test_members_learn_what_happened_to_their_batch() -> None:
    """Server-Timing and the access log speak of the attempt that answered."""
    fleet = Fleet()
    asked = [request(1), request(2)]
    tasks, batch = await gather_behind(fleet, asked)
    batch.request.trace.infer = 0.004
    batch.request.trace.batch_rows = 2
    batch.respond()
    await asyncio.gather(*tasks)
    for each in asked:
        each.trace.gather()
        assert each.trace.endpoint == "e0"
        assert each.trace.digest == MODEL.digest
        assert each.trace.infer == 0.004
        assert each.trace.batch_rows == 2
        assert each.trace.attempts == 1
        assert each.trace.queue > 0
    assert fleet.batch.cost.seconds(2) == pytest.approx(0.004)


async def test_counts_queued_rows_and_batch_sizes() -> None:
    """The gauge shows what waits now, the histogram what has left."""
    fleet = Fleet(up=False)
    tasks = [fleet.ask(request(1, 2)), fleet.ask(request(3))]
    await settle()
    fleet.telemetry.take()
    assert fleet.telemetry.queued_rows.cell("m").value == 3
    for task in tasks:
        task.cancel()
    await settle()
    fleet.telemetry.take()
    assert fleet.telemetry.queued_rows.cell("m").value == 0
