# SPDX-License-Identifier: Apache-2.0
"""Workers that answer with errors of their own for a while."""

from __future__ import annotations

from pathlib import Path

from tests.support.faulty import answer, fail
from tests.support.scenarios import (
    no_client_learns_of,
    one_worker,
    two_attempts_and_an_error,
    two_workers,
)
from tests.support.scripted_worker import Received
from tests.support.trial import until

NO_RESERVE = {"budget": {"percent": 20, "min_per_second": 0}}


async def test_the_other_worker_answers(tmp_path: Path) -> None:
    """No client learns of it."""
    await no_client_learns_of(tmp_path, fail)


async def test_a_lone_worker_has_two_attempts(tmp_path: Path) -> None:
    """Then the client is told what the worker said."""
    await two_attempts_and_an_error(tmp_path, fail, code="upstream_failed")


async def test_a_worker_that_fails_is_left_alone_for_a_while(tmp_path: Path) -> None:
    """Ejected after a few, it gets one request after each pause, and is back after a good one."""
    async with two_workers(tmp_path, cap=4) as (under, bad, _):
        bad.manner = fail
        while under.state(bad.address) != "ejected":
            assert (await under.ask()).code == "ok"
        sent = bad.done["fail"]
        # Each further one was the probe behind an ejection.
        while under.metric("ejections_total", endpoint=bad.address, reason="probe") < 2:
            assert (await under.ask()).code == "ok"
        assert bad.done["fail"] == sent + 2
        bad.manner = answer
        await under.recovers()
        assert bad.done["answer"] > 0


async def test_retries_in_an_outage_stay_within_their_budget(tmp_path: Path) -> None:
    """A fifth of the requests is tried again; the others fail at once, and one worker stays in."""
    async with two_workers(tmp_path, retry=NO_RESERVE) as (under, one, other):
        one.manner = other.manner = fail
        for _ in range(60):
            assert (await under.ask()).code == "upstream_failed"
        retries = under.metric("retries_total")
        assert 0 < retries <= 0.2 * under.asked
        assert under.metric("retry_budget_exhausted_total") >= 60 - retries
        assert one.done["fail"] + other.done["fail"] == 60 + retries
        assert "ready" in {under.state(one.address), under.state(other.address)}


async def test_an_outage_multiplies_no_batch(tmp_path: Path) -> None:
    """A member has the batch's attempts, and then one alone in case another was at fault."""
    async with one_worker(tmp_path, cap=1) as (under, worker):
        worker.manner = worker.hold
        blocker = under.start()
        first = await worker.requests.get()
        members = [under.start() for _ in range(10)]
        await until(lambda: under.queued == 10)
        worker.manner = fail
        answer(first)
        assert (await blocker).code == "ok"
        replies = [await task for task in members]
        assert {reply.code for reply in replies} == {"upstream_failed"}
        assert {worker.sent[reply.number] for reply in replies} == {under.attempts + 1}


async def test_an_outage_multiplies_no_traffic_of_batches(tmp_path: Path) -> None:
    """Of what is asked no more than a fifth reaches a worker again, in a batch or alone."""
    async with two_workers(tmp_path, cap=1, retry=NO_RESERVE) as (under, one, other):
        for worker in (one, other):
            worker.manner = worker.hold
        members = [under.start() for _ in range(200)]
        held = [await worker.requests.get() for worker in (one, other)]
        await until(lambda: under.queued == 198)
        one.manner = other.manner = fail
        for each in held:
            fail(each)
        codes = {(await task).code for task in members}
        assert codes == {"upstream_failed"}
        assert max(len(batch) for batch in one.batches + other.batches) > 2
        sent = one.sent.total() + other.sent.total()
        assert under.asked < sent <= 1.2 * under.asked
        assert under.metric("retries_total") == sent - under.asked


async def test_the_inputs_own_fault_is_not_tried_again(tmp_path: Path) -> None:
    """Nor held against the worker."""

    def blame(received: Received) -> None:
        received.fail("invalid_request", "scripted: not like this")

    async with two_workers(tmp_path) as (under, one, other):
        one.manner = other.manner = blame
        for _ in range(12):
            reply = await under.ask()
            assert (reply.status, reply.code) == (400, "invalid_request")
        assert one.done["blame"] + other.done["blame"] == 12
        assert under.metric("ejections_total") == 0
