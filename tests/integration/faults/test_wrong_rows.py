# SPDX-License-Identifier: Apache-2.0
"""A worker that answers with other rows than it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.faulty import Manner, answer, invent_a_row, lose_a_row
from tests.support.scenarios import (
    no_client_learns_of,
    one_worker,
    two_attempts_and_an_error,
    two_workers,
)
from tests.support.scripted_worker import Received
from tests.support.trial import until


def answer_nothing(received: Received) -> None:
    """A result without any output."""
    received.inputs = ()
    received.respond()


MANNERS = [lose_a_row, invent_a_row, answer_nothing]


@pytest.mark.parametrize("manner", MANNERS)
async def test_the_other_worker_answers(tmp_path: Path, manner: Manner) -> None:
    """An answer that was cut or stretched is none."""
    await no_client_learns_of(tmp_path, manner)


@pytest.mark.parametrize("manner", MANNERS)
async def test_a_lone_worker_has_two_attempts(tmp_path: Path, manner: Manner) -> None:
    """Then the client is told; it gets no row."""
    await two_attempts_and_an_error(tmp_path, manner, code="upstream_failed")


@pytest.mark.parametrize("manner", MANNERS)
async def test_a_batch_is_not_shifted(tmp_path: Path, manner: Manner) -> None:
    """One row less, and each member but the first could have got its neighbour's."""
    async with two_workers(tmp_path, cap=1) as (under, bad, good):
        for worker in (bad, good):
            worker.manner = worker.hold
        blockers = [under.start() for _ in range(2)]
        held = [await worker.requests.get() for worker in (bad, good)]
        members = [under.start(rows) for rows in (1, 3, 2, 1)]
        await until(lambda: under.queued == 7)
        bad.manner, good.manner = manner, answer
        for received in held:
            answer(received)
        assert [(await task).code for task in (*blockers, *members)] == ["ok"] * 6
        assert max(len(set(batch)) for batch in bad.batches) > 1
        assert bad.done[manner.__name__] > 0


async def test_nothing_is_cached_of_an_answer_that_failed(tmp_path: Path) -> None:
    """The same question is computed again, and from then on answered from memory."""
    async with one_worker(tmp_path, cache={}) as (under, worker):
        worker.manner = lose_a_row
        failed = await under.ask()
        assert failed.code == "upstream_failed"
        worker.manner = answer
        sent = worker.sent[failed.number]
        for _ in range(2):
            assert (await under.ask(again=failed.number)).code == "ok"
        assert worker.sent[failed.number] == sent + 1
        assert under.metric("cache_total", result="hit") == 1
