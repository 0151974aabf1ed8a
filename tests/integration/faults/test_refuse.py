# SPDX-License-Identifier: Apache-2.0
"""A worker that nobody listens for: connections to it are refused."""

from __future__ import annotations

from pathlib import Path

from tests.support.faulty import FaultyWorker
from tests.support.scenarios import MANY, one_worker
from tests.support.trial import Level, trial, until


async def test_the_other_worker_answers(tmp_path: Path) -> None:
    """Nothing is sent there, and it is used as soon as it listens."""
    async with FaultyWorker() as refusing, FaultyWorker() as good:
        before = Level()
        refusing.stop()
        async with trial(
            tmp_path, refusing.address, good.address, all_up=False, before=before
        ) as under:
            assert {reply.code for reply in await under.ask_many(MANY)} == {"ok"}
            assert under.state(refusing.address) == "down"
            assert under.metric("endpoint_state", endpoint=refusing.address, state="down") == 1
            assert under.metric("attempts_total", endpoint=refusing.address) == 0
            await refusing.listen()
            while not refusing.done["answer"]:
                assert (await under.ask()).code == "ok"


async def test_requests_wait_for_a_lone_worker(tmp_path: Path) -> None:
    """Those whose deadline is not over are answered when it listens, the others are told."""
    async with one_worker(tmp_path) as (under, worker):
        worker.stop()
        await until(lambda: under.state(worker.address) == "down")
        patient = [under.start(rows=2) for _ in range(3)]
        await until(lambda: under.queued == 6)
        late = await under.ask(headers={"X-Request-Timeout-Ms": "50"})
        assert (late.status, late.code) == (504, "deadline_exceeded")
        assert worker.sent[late.number] == 0
        await worker.listen()
        assert [(await task).code for task in patient] == ["ok"] * 3
