# SPDX-License-Identifier: Apache-2.0
"""A worker that dies with requests in its hands."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.support import models
from tests.support.faulty import FaultyWorker, answer, numbers_in
from tests.support.scenarios import BRIEF, one_worker, two_workers
from tests.support.trial import Reply, Trial, trial, until
from tests.support.worker_process import Worker


async def batch_at(
    under: Trial, worker: FaultyWorker, other: FaultyWorker, rows: tuple[int, ...]
) -> list[asyncio.Task[Reply]]:
    """Have *worker* hold one batch of requests of so many *rows*, while *other* is busy."""
    worker.manner, other.manner = worker.hold, other.hold
    blockers = [under.start() for _ in range(2)]
    held = [await each.requests.get() for each in (worker, other)]
    members = [under.start(count) for count in rows]
    await until(lambda: under.queued == sum(rows))
    other.manner = answer
    answer(held[0])
    received = await worker.requests.get()
    assert len(set(numbers_in(received))) == len(rows)
    answer(held[1])
    assert [(await task).code for task in blockers] == ["ok"] * 2
    return members


async def test_the_members_of_its_batch_are_answered_by_another(tmp_path: Path) -> None:
    """One by one, since one of them may have been the cause."""
    async with two_workers(tmp_path, cap=1) as (under, dying, good):
        members = await batch_at(under, dying, good, (1, 3, 2))
        dying.manner = answer
        await dying.restart("2")
        replies = [await task for task in members]
        assert [reply.code for reply in replies] == ["ok"] * 3
        sent = dying.sent + good.sent
        assert [sent[reply.number] for reply in replies] == [2] * 3
        assert under.metric("attempts_total", result="upstream_failed") == 1


async def test_a_batch_is_split_for_a_lone_worker_that_comes_back(tmp_path: Path) -> None:
    """Its members wait for its next life."""
    async with one_worker(tmp_path, cap=1) as (under, worker):
        worker.manner = worker.hold
        blocker = under.start()
        held = await worker.requests.get()
        members = [under.start(rows) for rows in (2, 1, 1)]
        await until(lambda: under.queued == 4)
        answer(held)
        received = await worker.requests.get()
        assert len(numbers_in(received)) == 4
        worker.manner = answer
        await worker.restart("2")
        assert [(await task).code for task in (blocker, *members)] == ["ok"] * 4
        assert [len(set(batch)) for batch in worker.batches[-3:]] == [1, 1, 1]


async def test_a_killed_process_costs_no_client_an_error(tmp_path: Path) -> None:
    """A real one, stopped first so that it surely has requests when it is killed."""
    directory = models.save(models.identity(), tmp_path / "m")
    sockets = [f"unix:{tmp_path}/{name}.sock" for name in ("dying", "good")]
    started = [asyncio.to_thread(Worker, directory, listen=address) for address in sockets]
    dying, good = await asyncio.gather(*started)
    with dying, good:
        async with trial(tmp_path, *sockets, ejection=BRIEF) as under:
            os.kill(dying.process.pid, signal.SIGSTOP)
            asking = [under.start(rows=2) for _ in range(12)]
            await until(lambda: under.endpoint(sockets[0]).pending > 0)
            dying.process.kill()
            dying.ends()
            assert {(await task).code for task in asking} == {"ok"}
            failed = under.metric("attempts_total", endpoint=sockets[0], result="upstream_failed")
            assert failed > 0
            with await asyncio.to_thread(Worker, directory, listen=sockets[0]):
                await under.settles()
