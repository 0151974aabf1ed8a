# SPDX-License-Identifier: Apache-2.0
"""A worker whose answers come late, or bit by bit."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.faulty import answer, hang, output
from tests.support.scenarios import MANY, one_worker, two_workers
from tests.support.trial import until

SOON = {"X-Request-Timeout-Ms": "60"}


async def test_an_answer_behind_the_deadline_reaches_nobody(tmp_path: Path) -> None:
    """Neither its own request, which has been told, nor the next one."""
    async with one_worker(tmp_path, cap=1) as (under, worker):
        worker.manner = worker.hold
        late = under.start(headers=SOON)
        received = await worker.requests.get()
        assert (await late).code == "deadline_exceeded"
        assert await worker.cancels.get() == received.id
        following = under.start()
        behind = await worker.requests.get()
        answer(received)
        answer(behind)
        assert (await following).code == "ok"


async def test_an_answer_may_come_byte_by_byte(tmp_path: Path) -> None:
    """As long as it comes in time."""
    async with one_worker(tmp_path) as (under, worker):
        worker.manner = worker.hold
        asking = under.start(rows=3)
        received = await worker.requests.get()
        for byte in received.result(output(received)):
            received.connection.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await asking).code == "ok"


async def test_an_answer_that_stops_half_way_holds_no_slot(tmp_path: Path) -> None:
    """The deadline passes; when the rest comes, the connection is still of use."""
    async with one_worker(tmp_path, cap=1) as (under, worker):
        worker.manner = worker.hold
        stuck = under.start(headers=SOON)
        received = await worker.requests.get()
        data = received.result(output(received))
        received.connection.send(data[:-6])
        assert (await stuck).code == "deadline_exceeded"
        assert under.endpoint(worker.address).pending == 0
        following = under.start()
        behind = await worker.requests.get()
        received.connection.send(data[-6:])
        answer(behind)
        assert (await following).code == "ok"
        assert len(worker.connections) == 1


async def test_a_worker_that_is_too_slow_for_every_deadline_is_left_alone(tmp_path: Path) -> None:
    """By the deadlines that pass there while the other answers; it comes back when it is quick."""
    async with two_workers(tmp_path, cap=2, batch={"max_rows": 1}) as (under, slow, quick):
        while quick.done["answer"] < 40:
            assert {reply.code for reply in await under.ask_many(MANY)} == {"ok"}
        slow.manner = hang
        while under.state(slow.address) != "ejected":
            codes = {reply.code for reply in await under.ask_many(4, headers=SOON)}
            assert codes <= {"ok", "deadline_exceeded"}
        assert under.metric("ejections_total", endpoint=slow.address, reason="consecutive") == 1
        assert under.state(quick.address) == "ready"
        slow.manner = answer
        await under.recovers()


async def test_others_do_not_queue_behind_a_slow_worker(tmp_path: Path) -> None:
    """It keeps what it has, and no more is sent there than it has slots for."""
    async with two_workers(tmp_path, cap=2, batch={"max_rows": 1}) as (under, slow, quick):
        slow.manner = slow.hold
        tasks = [under.start() for _ in range(MANY)]
        await until(lambda: sum(task.done() for task in tasks) >= MANY - 2)
        held = slow.done["hold"]
        assert held in {1, 2}
        assert quick.done["answer"] >= MANY - held
        assert under.endpoint(slow.address).pending == held
        slow.manner = answer
        for _ in range(held):
            answer(await slow.requests.get())
        assert {(await task).code for task in tasks} == {"ok"}
