# SPDX-License-Identifier: Apache-2.0
"""Batch and those who wait behind it: answered on the spot, and then forgotten."""

from __future__ import annotations

import asyncio
import gc
import weakref
from time import perf_counter
from typing import TYPE_CHECKING

import pytest

from gateway.drive import drive
from gateway.errors import (
    UpstreamError,
)
from gateway.wire.message import NEVER, InferRequest, InferResponse
from tests.support.upstream import Fleet, request, settle, soon

if TYPE_CHECKING:
    from collections.abc import Callable


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
    patience = 0.002
    while True:
        fleet = Fleet(attempts=1, up=end != "cancelled in queue")
        held = Held()
        kept = weakref.ref(held)
        deadline = soon(patience) if end == "late" else NEVER
        cancel = send(fleet, request(parameters={"held": held}, deadline=deadline))
        await settle()
        if end != "late" or fleet.sent:
            break
        # On a busy machine its time was over before it could leave.
        patience *= 4
    if end == "answered":
        fleet.waiting[0].respond()
    elif end == "failed":
        fleet.waiting[0].fail(UpstreamError("scripted"))
    elif end == "late":
        while not fleet.sent[0].cancelled:
            await settle()
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
