# SPDX-License-Identifier: Apache-2.0
"""A worker that is stopped in the middle of everything, with its connections open."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.faulty import hang
from tests.support.scenarios import BRIEF, two_workers
from tests.support.trial import trial, until
from tests.support.worker_process import Worker

PROBES = {"interval": "50ms", "timeout": "300ms", "fall": 2}


async def test_what_a_frozen_worker_holds_is_answered_by_another(tmp_path: Path) -> None:
    """Its probes fail, its connection is given up, and what was on it goes elsewhere."""
    async with two_workers(tmp_path, health=PROBES) as (under, frozen, _):
        frozen.manner, frozen.answers_probes = hang, False
        while not frozen.done["hang"]:
            assert {reply.code for reply in await under.ask_many(6)} == {"ok"}
        assert under.metric("attempts_total", endpoint=frozen.address, result="upstream_failed") > 0
        frozen.answers_probes = True


async def test_a_stopped_process_costs_no_client_an_error(
    tmp_path: Path, two_real_workers: tuple[Worker, Worker]
) -> None:
    """A real one, by SIGSTOP; after SIGCONT it is asked again."""
    frozen, good = two_real_workers
    addresses = [f"unix:{worker.socket}" for worker in (frozen, good)]
    async with trial(tmp_path, *addresses, health=PROBES, ejection=BRIEF) as under:
        os.kill(frozen.process.pid, signal.SIGSTOP)
        try:
            while not under.metric(
                "attempts_total", endpoint=addresses[0], result="upstream_failed"
            ):
                assert {reply.code for reply in await under.ask_many(6)} == {"ok"}
            await until(lambda: under.state(addresses[0]) == "down")
        finally:
            os.kill(frozen.process.pid, signal.SIGCONT)
