# SPDX-License-Identifier: Apache-2.0
"""A worker that ends its sending side instead of answering, and goes on listening."""

from __future__ import annotations

from pathlib import Path

from tests.support.faulty import half_close
from tests.support.http import connect, request
from tests.support.scenarios import no_client_learns_of, one_worker, two_attempts_and_an_error
from tests.support.trial import INFER, question, until


async def test_the_other_worker_answers(tmp_path: Path) -> None:
    """No client learns of it."""
    await no_client_learns_of(tmp_path, half_close)


async def test_a_lone_worker_has_two_attempts(tmp_path: Path) -> None:
    """Nothing waits for an answer that cannot come."""
    await two_attempts_and_an_error(tmp_path, half_close, code="poison_input")


async def test_a_client_that_half_closes_has_left(tmp_path: Path) -> None:
    """From outside the two cannot be told apart; its request leaves the worker."""
    async with one_worker(tmp_path) as (under, worker), connect(under.port) as client:
        worker.manner = worker.hold
        await client.send(request("POST", INFER, question(under.number())))
        received = await worker.requests.get()
        client.end()
        assert await worker.cancels.get() == received.id
        under.left += 1
        await until(lambda: under.metric("client_disconnects_total", phase="upstream") == 1)
