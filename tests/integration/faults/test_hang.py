# SPDX-License-Identifier: Apache-2.0
"""A worker that accepts and then does nothing, at once or when it is asked."""

from __future__ import annotations

from pathlib import Path

from tests.support.faulty import FaultyWorker, hang
from tests.support.scenarios import MANY, one_worker, two_workers
from tests.support.trial import trial


async def test_who_does_not_greet_gets_no_request(tmp_path: Path) -> None:
    """A connection is no worker yet."""
    async with (
        FaultyWorker(greets=False) as mute,
        FaultyWorker() as good,
        trial(tmp_path, mute.address, good.address, all_up=False) as under,
    ):
        await mute.accepted.get()
        assert {reply.code for reply in await under.ask_many(MANY)} == {"ok"}
        assert under.state(mute.address) == "down"
        assert sum(mute.done.values()) == 0
        mute.greets = True
        await mute.restart("2")


async def test_a_deadline_ends_the_wait_and_frees_the_slot(tmp_path: Path) -> None:
    """The client is told, the worker too, and the next request has the slot."""
    async with one_worker(tmp_path, cap=1) as (under, worker):
        worker.manner = hang
        reply = await under.ask(headers={"X-Request-Timeout-Ms": "60"})
        assert (reply.status, reply.code) == (504, "deadline_exceeded")
        await worker.cancels.get()
        assert worker.done["hang"] == worker.sent[reply.number] == 1
        assert under.endpoint(worker.address).pending == 0


async def test_an_attempt_timeout_asks_the_other_worker(tmp_path: Path) -> None:
    """Where one is configured, a worker that does not answer is none."""
    async with two_workers(tmp_path, timeouts={"attempt": "100ms"}) as (under, bad, _):
        bad.manner = hang
        while not bad.done["hang"]:
            assert {reply.code for reply in await under.ask_many(4)} == {"ok"}
        assert under.metric("retries_total") >= bad.done["hang"]
        assert under.metric("attempts_total", endpoint=bad.address, result="upstream_failed") > 0
