# SPDX-License-Identifier: Apache-2.0
"""Batch: who waits, who leaves with whom, and who gets which answer."""

from __future__ import annotations

import asyncio
import gc
import weakref
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.drive import drive
from gateway.errors import (
    BadAnswer,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    Draining,
    GatewayError,
    InvalidRequest,
    PoisonInput,
    Shed,
    UpstreamError,
)
from gateway.wire.message import NEVER, InferRequest, InferResponse, RequestedOutput
from gateway.wire.tensor import Tensor
from tests.support.upstream import MODEL, Fleet, echo, request, settle, soon, values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.upstream import ScriptedPeer, Sent


def lost() -> ConnectionLost:
    """What everything in flight gets when a worker goes."""
    return ConnectionLost("the worker went away")


async def gather_behind(
    fleet: Fleet, asked: Sequence[InferRequest]
) -> tuple[list[asyncio.Task[InferResponse]], Sent]:
    """Send *asked* while every slot is busy, free the slots: the tasks, and the batch they make."""
    blockers = [fleet.ask() for _ in fleet.peers]
    await settle()
    tasks = [fleet.ask(each) for each in asked]
    await settle()
    for sent in fleet.waiting:
        sent.respond()
    await asyncio.gather(*blockers)
    await settle()
    (batch,) = fleet.waiting
    return tasks, batch


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
    with pytest.raises(DeadlineExceeded, match="in queue"):
        await fleet.ask(request(deadline=soon()))
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
    with pytest.raises(DeadlineExceeded, match="while a worker had it"):
        await fleet.ask(request(deadline=soon()))
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


# Failing.


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
        await asyncio.sleep(0.002)
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
        await asyncio.sleep(0.002)


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
        await asyncio.sleep(0.002)
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
    """An exception object raised in many places would gather all their tracebacks."""
    fleet = Fleet(attempts=1)
    tasks, batch = await gather_behind(fleet, [request(1), request(2)])
    batch.fail(GatewayError("for all"))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["for all", "for all"]
    assert results[0] is not results[1]


class Held:
    """Something that a request holds, and that can be asked whether it is still there."""


def as_task(fleet: Fleet, asked: InferRequest) -> Callable[[], object]:
    """Send *asked* as a task; returns what cancels it."""
    task = fleet.ask(asked)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task.cancel


def in_place(fleet: Fleet, asked: InferRequest) -> Callable[[], object]:
    """Send *asked* in place; returns what cancels it."""
    return drive(fleet.batch(asked), lambda *_: None).cancel


@pytest.mark.parametrize("end", ["answered", "failed", "cancelled in queue", "cancelled", "late"])
@pytest.mark.parametrize("send", [as_task, in_place])
async def test_a_request_is_forgotten(
    send: Callable[[Fleet, InferRequest], Callable[[], object]], end: str
) -> None:
    """However it ended: entries are hidden from the collector, so no circle may go through one."""
    fleet = Fleet(attempts=1, up=end != "cancelled in queue")
    held = Held()
    kept = weakref.ref(held)
    deadline = soon() if end == "late" else NEVER
    cancel = send(fleet, request(parameters={"held": held}, deadline=deadline))
    await settle()
    if end == "answered":
        fleet.waiting[0].respond()
    elif end == "failed":
        fleet.waiting[0].fail(UpstreamError("scripted"))
    elif end == "late":
        await asyncio.sleep(0.005)
    else:
        cancel()
    await settle()
    fleet.assert_idle()
    fleet.peers[0].sent.clear()
    fleet.peers[0]._unseen.clear()
    del cancel, held
    await settle()
    gc.collect()
    assert kept() is None


async def test_one_waiters_fault_costs_no_other_an_answer() -> None:
    """What happens behind an answer is the affair of whoever asked."""
    fleet = Fleet()
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    answers: list[InferResponse | None] = []

    def fault(response: InferResponse | None, error: BaseException | None) -> None:
        raise OverflowError

    def keep(response: InferResponse | None, error: BaseException | None) -> None:
        answers.append(response)

    blocker = fleet.ask()
    await settle()
    for done in (keep, fault, keep):
        drive(fleet.batch(request(1)), done)
    await settle()
    fleet.waiting[0].respond()
    await blocker
    await settle()
    fleet.waiting[0].respond()
    await settle()
    assert len(answers) == 2
    assert [type(fault["exception"]) for fault in faults] == [OverflowError]
    fleet.assert_idle()


async def test_a_question_asked_on_the_spot_keeps_its_own_deadline() -> None:
    """Whoever is told that its time is over may ask again before the next is told."""
    fleet = Fleet(up=False)
    ended: list[str] = []
    patient = fleet.ask(request(deadline=perf_counter() + 3600))
    over = asyncio.Event()

    def again(response: InferResponse | None, error: BaseException | None) -> None:
        ended.append("first")
        drive(fleet.batch(request(deadline=soon())), done)

    def done(response: InferResponse | None, error: BaseException | None) -> None:
        ended.append("second")
        over.set()

    drive(fleet.batch(request(deadline=soon())), again)
    await over.wait()
    assert ended == ["first", "second"]
    patient.cancel()
    await settle()
    fleet.assert_idle()


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
        assert each.trace.endpoint == "e0"
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
