# SPDX-License-Identifier: Apache-2.0
"""Quarantine: what is refused, for how long, and what is asked again all the same."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.errors import ConnectionLost, PoisonInput
from gateway.stages.quarantine import Quarantine
from gateway.telemetry import Telemetry
from gateway.wire.message import InferRequest, RequestedOutput
from gateway.wire.tensor import Tensor
from tests.support.upstream import Clock, Fleet, gather_behind, request, settle, values


def made(**options: object) -> tuple[Quarantine, Clock, Telemetry]:
    """An empty one with its clock and its counters."""
    clock, telemetry = Clock(), Telemetry(["m"])
    quarantine = Quarantine(model="m", telemetry=telemetry, clock=clock, **options)  # type: ignore[arg-type]
    return quarantine, clock, telemetry


def refuses(quarantine: Quarantine, asked: InferRequest) -> bool:
    """Whether *asked* is in it."""
    try:
        quarantine.check(asked)
    except PoisonInput:
        return True
    return False


def test_refuses_the_same_question_for_a_minute() -> None:
    """And not for longer, however often it is asked meanwhile."""
    quarantine, clock, telemetry = made()
    quarantine.add(request(666))
    for _ in range(3):
        clock.now += 19.9
        with pytest.raises(PoisonInput, match=r"not tried again for [0-9]+ s"):
            quarantine.check(request(666))
    clock.now += 0.4
    quarantine.check(request(666))
    assert not quarantine
    cell = telemetry.quarantine.cell
    assert (cell("m", "added").value, cell("m", "refused").value) == (1, 3)


@pytest.mark.parametrize(
    "other",
    [
        request(665),
        request(666, 666),
        request(666, parameters={"temperature": 1}),
        request(666, outputs=(RequestedOutput("y"),)),
        InferRequest("m", (Tensor.of("z", np.full((1, 2), 666, np.float32)),)),
        InferRequest("m", (Tensor("x", "INT32", (1, 2), request(666).inputs[0].data),)),
        InferRequest("m", ()),
    ],
    ids=["value", "rows", "parameters", "outputs", "name", "datatype", "empty"],
)
def test_lets_any_other_question_through(other: InferRequest) -> None:
    """A worker may take it; only what has killed two is known to kill."""
    quarantine, _, _ = made()
    quarantine.add(request(666))
    assert refuses(quarantine, request(666))
    assert not refuses(quarantine, other)


def test_is_the_same_in_whatever_order_its_inputs_come() -> None:
    """Another client may send them in another one."""
    one, two = Tensor.of("a", np.zeros((1, 2))), Tensor.of("b", np.ones((1, 3)))
    quarantine, _, _ = made()
    quarantine.add(InferRequest("m", (one, two)))
    assert refuses(quarantine, InferRequest("m", (two, one), id="another"))


def test_holds_no_more_than_its_bound() -> None:
    """The oldest goes for the newest."""
    quarantine, _, _ = made(most=3)
    for value in range(5):
        quarantine.add(request(value))
    assert len(quarantine) == 3
    assert [refuses(quarantine, request(value)) for value in range(5)] == [False] * 2 + [True] * 3


def test_a_second_offence_counts_from_then() -> None:
    """It stays for a whole time more."""
    quarantine, clock, _ = made(seconds=10.0)
    quarantine.add(request(1))
    clock.now += 6
    quarantine.add(request(1))
    clock.now += 6
    assert refuses(quarantine, request(1))
    clock.now += 5
    assert not refuses(quarantine, request(1))


def test_takes_nothing_in_for_no_time() -> None:
    """Turned off."""
    quarantine, _, _ = made(seconds=0.0)
    quarantine.add(request(666))
    assert not quarantine
    assert not refuses(quarantine, request(666))


# In the queue.


async def poisoned(fleet: Fleet) -> None:
    """Have a question of 666 take two workers down."""
    task = fleet.ask(request(666))
    for life in ("2", "3"):
        await settle()
        (sent,) = fleet.waiting
        peer = next(peer for peer in fleet.peers if sent in peer.sent)
        peer.dies(lambda: ConnectionLost("the worker went away"))
        peer.comes_up(life)
    with pytest.raises(PoisonInput):
        await task


async def test_poison_is_refused_at_once_when_it_is_asked_again() -> None:
    """No worker sees it, whoever asks; all else is answered."""
    fleet = Fleet(2)
    await poisoned(fleet)
    seen = len(fleet.sent)
    with pytest.raises(PoisonInput, match="the same input"):
        await fleet.ask(request(666))
    assert len(fleet.sent) == seen
    task = fleet.ask(request(7))
    await settle()
    fleet.waiting[0].respond()
    assert values(await task) == [7]
    fleet.assert_idle()


async def test_poison_is_refused_while_no_worker_is_there() -> None:
    """It need not wait for one that it would take down."""
    fleet = Fleet(2)
    await poisoned(fleet)
    for peer in fleet.peers:
        peer.goes_down()
    with pytest.raises(PoisonInput, match="the same input"):
        await fleet.ask(request(666))
    assert fleet.batch.queued_rows == 0


async def test_poison_found_in_a_batch_is_quarantined_by_itself() -> None:
    """Its neighbours may be asked again."""
    fleet = Fleet()
    tasks, batch = await gather_behind(fleet, [request(1), request(666)])
    assert batch.request.members == 2
    fleet.peers[0].dies(lambda: ConnectionLost("gone"))
    fleet.peers[0].comes_up("2")
    for life in range(3, 20):
        await settle()
        if not fleet.waiting:
            break
        (sent,) = fleet.waiting
        if 666 in sent.request.inputs[0].array():
            fleet.peers[0].dies(lambda: ConnectionLost("gone"))
            fleet.peers[0].comes_up(str(life))
        else:
            sent.respond()
    assert values(await tasks[0]) == [1]
    with pytest.raises(PoisonInput, match="2 workers"):
        await tasks[1]
    with pytest.raises(PoisonInput, match="the same input"):
        await fleet.ask(request(666))
    again = fleet.ask(request(1))
    await settle()
    fleet.waiting[0].respond()
    assert values(await again) == [1]


async def test_the_queue_asks_no_more_once_the_quarantine_is_empty() -> None:
    """What was slower for its sake is as it was."""
    fleet = Fleet(2)
    plain = fleet.batch._enqueued
    fleet.batch.quarantine._clock = clock = Clock()
    await poisoned(fleet)
    assert fleet.batch._enqueued != plain
    clock.now += 61
    task = fleet.ask(request(666))
    await settle()
    fleet.waiting[0].respond()
    assert values(await task) == [666]
    assert fleet.batch._enqueued == plain
