# SPDX-License-Identifier: Apache-2.0
"""A worker that answers under the wrong id.

Which request an answer belongs to is the worker's word; what can be held against it is a word given
twice, one about nothing, and an answer that does not fit the request that it names.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.faulty import Manner, answer, answer_another, answer_twice
from tests.support.scenarios import MANY, one_worker
from tests.support.scripted_worker import Received


@pytest.mark.parametrize("manner", [answer_another, answer_twice])
async def test_an_answer_to_nothing_reaches_nobody(tmp_path: Path, manner: Manner) -> None:
    """Whether it names what nobody has asked, or what was answered before."""
    async with one_worker(tmp_path) as (under, worker):
        worker.manner = manner
        for _ in range(3):
            assert {reply.code for reply in await under.ask_many(MANY)} == {"ok"}
        assert worker.done[manner.__name__] > 0
        assert under.metric("retries_total") == 0


async def test_a_request_that_is_never_named_ends_at_its_deadline(tmp_path: Path) -> None:
    """The answer to another id is not its own."""

    def answer_only_another(received: Received) -> None:
        received.id += 1000
        answer(received)

    async with one_worker(tmp_path) as (under, worker):
        worker.manner = answer_only_another
        reply = await under.ask(headers={"X-Request-Timeout-Ms": "60"})
        assert (reply.status, reply.code) == (504, "deadline_exceeded")
        assert worker.done["answer_only_another"] == 1


async def test_swapped_answers_of_different_size_reach_nobody(tmp_path: Path) -> None:
    """Both are tried again."""
    async with one_worker(tmp_path, cap=2) as (under, worker):
        worker.manner = worker.hold
        tasks, received = [], []
        for rows in (1, 2):
            tasks.append(under.start(rows))
            received.append(await worker.requests.get())
        one, other = received
        one.id, other.id = other.id, one.id
        worker.manner = answer
        answer(one)
        answer(other)
        assert [(await task).code for task in tasks] == ["ok", "ok"]
        assert under.metric("retries_total", reason="upstream_failed") == 2
