# SPDX-License-Identifier: Apache-2.0
"""A worker that announces more than an answer may have, or the most, and sends nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.wire.frames import MAGIC, MAX_BODY, MAX_HEAD, PREFIX, Kind
from tests.support.faulty import oversize, promise_much
from tests.support.scenarios import no_client_learns_of, two_attempts_and_an_error, two_workers
from tests.support.scripted_worker import Received

TOO_MUCH = {
    "a head too large": (MAX_HEAD + 1, 0),
    "a body too large": (0, MAX_BODY + 1),
    "both as large as a number can be": (2**32 - 1, 2**64 - 1),
}
PROBES = {"interval": "50ms", "timeout": "300ms", "fall": 2}


def resident() -> int:
    """Bytes of memory that this process has."""
    (line,) = [
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line
    ]
    return int(line.split()[1]) << 10


@pytest.mark.parametrize("sizes", TOO_MUCH.values(), ids=TOO_MUCH)
async def test_the_other_worker_answers(tmp_path: Path, sizes: tuple[int, int]) -> None:
    """The connection is ended before any memory is taken for the rest."""

    def announce(received: Received) -> None:
        received.connection.send(PREFIX.pack(MAGIC, Kind.RESULT, 0, received.id, *sizes))

    await no_client_learns_of(tmp_path, announce)


async def test_a_lone_worker_has_two_attempts(tmp_path: Path) -> None:
    """Then the client is told."""
    await two_attempts_and_an_error(tmp_path, oversize, code="poison_input")


async def test_a_promise_takes_no_memory_until_it_is_kept(tmp_path: Path) -> None:
    """What is behind it on the connection never arrives, so the probes fail and end it."""
    async with two_workers(tmp_path, health=PROBES) as (under, bad, _):
        before = resident()
        bad.manner = promise_much
        while not bad.done["promise_much"]:
            assert (await under.ask()).code == "ok"
        assert resident() - before < MAX_BODY // 4
        lost = under.metric("attempts_total", endpoint=bad.address, result="upstream_failed")
        assert lost == bad.done["promise_much"]
