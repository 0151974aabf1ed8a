# SPDX-License-Identifier: Apache-2.0
"""A worker that answers its probes, and fails what it is asked."""

from __future__ import annotations

from pathlib import Path

from tests.support.faulty import fail
from tests.support.scenarios import two_workers

PROBES = {"interval": "10ms", "timeout": "10s"}


async def test_a_probe_does_not_bring_back_what_fails_requests(tmp_path: Path) -> None:
    """It stays out while it answers one probe after the other; only a new life is a new chance."""
    ejection = {"base": "60s", "max": "60s"}
    async with two_workers(tmp_path, ejection=ejection, health=PROBES) as (under, bad, _):
        bad.manner = fail
        while under.state(bad.address) != "ejected":
            assert (await under.ask()).code == "ok"
        failed = bad.done["fail"]
        for _ in range(5 + bad.pings.qsize()):
            await bad.pings.get()
        assert under.state(bad.address) == "ejected"
        assert {reply.code for reply in await under.ask_many(8)} == {"ok"}
        assert bad.done["fail"] == failed
        assert under.metric("ejections_total", endpoint=bad.address) == 1
        await bad.restart("2")


async def test_the_last_one_that_is_up_is_never_ejected(tmp_path: Path) -> None:
    """A bad worker beats none: all of them fail, and one is still asked."""
    ejection = {"base": "60s", "max": "60s"}
    async with two_workers(tmp_path, ejection=ejection, health=PROBES) as (under, one, other):
        one.manner = other.manner = fail
        for _ in range(24):
            assert (await under.ask()).code == "upstream_failed"
        states = sorted([under.state(one.address), under.state(other.address)])
        assert states == ["ejected", "ready"]
        for worker in (one, other):
            await worker.restart("2")
