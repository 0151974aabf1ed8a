# SPDX-License-Identifier: Apache-2.0
"""The control process is killed under load, also in the middle of a change; nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.support.events import wait_gone
from tests.support.factors import Asking, Repository, asked
from tests.support.serving import Serving

pytestmark = pytest.mark.e2e


def text(repository: Repository, *, replicas: int = 2) -> str:
    """A configuration of one model."""
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s, processes: 2}\n"
        f"models: {{m: {{backends: [{{worker: {{path: {repository.path('m')}, "
        f"replicas: {replicas}}}}}]}}}}\n"
    )


def kill_control(serving: Serving) -> None:
    """Kill it, and wait until it is gone."""
    pid = serving.children()["gateway.control"]
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert wait_gone(pidfd)
    os.close(pidfd)


def others_than(serving: Serving, before: set[str]) -> None:
    """Wait until the children are others than *before*."""
    while set(serving.children()) == before:
        pass


async def test_its_death_under_load_fails_no_request(tmp_path: Path) -> None:
    """Dead or alive, it is on no request's path; and the next one can operate as before."""
    repository = Repository(tmp_path / "repository")
    repository.add("m", 1, 2.0)
    with Serving(tmp_path, text(repository)).ready() as serving:
        status, _ = await asyncio.to_thread(serving.act, "/v1/backends/m-1", drained=True)
        assert status == 200
        async with asked(Asking(serving.http, repository)) as asking:
            for round_ in range(3):
                await asyncio.to_thread(kill_control, serving)
                await asking.goes_on(200)
                replicas = 3 if round_ % 2 == 0 else 2
                status, answer = await asyncio.to_thread(
                    serving.reload, text(repository, replicas=replicas)
                )
                assert (status, answer["result"]) == (200, "applied"), answer
        # What an operator has said before its deaths holds still.
        assert serving.endpoints("m")["m-1"]["state"] == "draining"
    assert asking.outcome.failures() == {}


async def test_killed_while_it_changes_something_it_leaves_nothing_half_done(
    tmp_path: Path,
) -> None:
    """Either generation is in effect, in all processes, and no worker is too many."""
    repository = Repository(tmp_path / "repository")
    repository.add("m", 1, 2.0)
    with Serving(tmp_path, text(repository)).ready() as serving:
        async with asked(Asking(serving.http, repository)) as asking:
            for replicas in (4, 2, 4, 2):
                serving.config.write_text(text(repository, replicas=replicas))
                before = set(serving.children())
                serving.process.send_signal(signal.SIGHUP)
                # In the middle: its workers are starting, or ending.
                await asyncio.to_thread(others_than, serving, before)
                await asyncio.to_thread(kill_control, serving)
                # The next one tidies up before it does anything.
                status, answer = await asyncio.to_thread(serving.act, "/v1/config/reload")
                assert status == 200, answer
                assert len(serving.endpoints("m")) >= replicas
        status, answer = await asyncio.to_thread(serving.act, "/v1/models/m/restart")
        assert (status, len(answer["replaced"])) == (200, 2)
        # A rolling restart has waited for all that was to end.
        workers = [name for name in serving.children() if name.startswith("m-")]
        assert len(workers) == 2
    assert asking.outcome.failures() == {}
