# SPDX-License-Identifier: Apache-2.0
"""A worker that is up, down, up, down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.faulty import Manner, answer, fail, reset
from tests.support.scenarios import two_workers
from tests.support.trial import Trial, until

FLAPS = 6


async def ask_until(under: Trial, over: asyncio.Event) -> None:
    """Four clients that ask as fast as they are answered."""

    async def client() -> None:
        while not over.is_set():
            assert (await under.ask(rows=2)).code == "ok"

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(client())


@pytest.mark.parametrize("lives", [1, FLAPS], ids=["one life", "a life each time"])
async def test_no_client_learns_of_a_worker_that_comes_and_goes(tmp_path: Path, lives: int) -> None:
    """Whatever it has when it goes is answered by the other one."""
    async with two_workers(tmp_path) as (under, flapping, _):
        over = asyncio.Event()
        clients = asyncio.ensure_future(ask_until(under, over))
        for flap in range(FLAPS):
            await until(lambda: under.state(flapping.address) == "ready")
            answered = flapping.done["answer"]
            await until(lambda before=answered: flapping.done["answer"] > before)  # type: ignore[misc]
            await flapping.restart(str(flap % lives))
            await until(lambda: under.state(flapping.address) == "down")
        over.set()
        await clients


@pytest.mark.parametrize("manner", [fail, reset])
async def test_each_relapse_is_ejected_for_longer(tmp_path: Path, manner: Manner) -> None:
    """A probe that succeeds brings it back, one that fails doubles the time until the next."""
    ejection = {"base": "20ms", "max": "10s", "jitter": 0, "consecutive": 2}
    async with two_workers(tmp_path, ejection=ejection) as (under, flapping, _):
        flapping.manner = manner
        endpoint = under.endpoint(flapping.address)
        times: list[float] = []
        while len(times) < 4:
            ejections = under.metric("ejections_total")
            assert (await under.ask()).code == "ok"
            if under.metric("ejections_total") > ejections:
                times.append(endpoint.ejection.left or 0.0)
        # Each is read a moment after it was set, so none is longer than it is.
        assert [time <= 0.02 * 2**k for k, time in enumerate(times)] == [True] * 4
        assert times[3] > 0.08
        flapping.manner = answer
        await until(lambda: endpoint.ejection.left == 0)
        await under.recovers()
        assert endpoint.ejection.until is None
