# SPDX-License-Identifier: Apache-2.0
"""Operators drain, weigh and restart endpoints of a running gateway, by its command line too."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.events import wait_gone
from tests.support.factors import Asking, Repository, asked
from tests.support.serving import Serving

pytestmark = pytest.mark.e2e


def text(repository: Repository, *, replicas: int = 3, processes: int = 2) -> str:
    """A configuration of one model."""
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s, "
        f"processes: {processes}}}\n"
        f"models: {{m: {{backends: [{{worker: {{path: {repository.path('m')}, "
        f"replicas: {replicas}}}}}]}}}}\n"
    )


@pytest.fixture(name="repository")
def fixture_repository(tmp_path: Path) -> Repository:
    """One model in its first version."""
    repository = Repository(tmp_path / "repository")
    repository.add("m", 1, 2.0)
    return repository


def infergate(serving: Serving, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command against *serving*."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments, "--admin", serving.admin],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


async def test_a_drained_endpoint_gets_nothing_in_any_process(
    tmp_path: Path, repository: Repository
) -> None:
    """Under load, and takes its part again when it is undrained; no request is lost."""
    with Serving(tmp_path, text(repository)).ready() as serving:
        async with asked(Asking(serving.http, repository, clients=16)) as asking:
            code, said, _ = await asyncio.to_thread(infergate, serving, "backends", "drain", "m-1")
            assert (code, said) == (0, "m-1 is drained\n")
            # What was on its way there is answered by now.
            await asking.goes_on(100)
            before = asking.endpoints.copy()
            await asking.goes_on(500)
            others = asking.endpoints - before
            assert set(others) == {"m-0", "m-2"}
            drained = await asyncio.to_thread(serving.endpoints, "m")
            assert drained["m-1"]["states"] == {"gateway-0": "draining", "gateway-1": "draining"}
            await asyncio.to_thread(infergate, serving, "backends", "undrain", "m-1")
            before = asking.endpoints.copy()
            await asking.goes_on(500)
            assert (asking.endpoints - before)["m-1"] > 0
    assert asking.outcome.failures() == {}


def test_list_shows_what_is_there(tmp_path: Path, repository: Repository) -> None:
    """As a table for people and as JSON for programs."""
    with Serving(tmp_path, text(repository)).ready() as serving:
        assert infergate(serving, "backends", "weight", "m-2", "2.5")[0] == 0
        code, said, _ = infergate(serving, "backends", "list")
        assert code == 0
        table = [line.split() for line in said.splitlines()]
        assert table[0] == [
            "model", "version", "endpoint", "state", "pending", "weight", "attempts"
        ]  # fmt: skip
        assert table[1] == ["m", "1", "m-0", "ready", "0", "1", "0"]
        assert table[3] == ["m", "1", "m-2", "ready", "0", "2.5", "0"]
        code, said, _ = infergate(serving, "backends", "list", "--json")
        view: dict[str, Any] = json.loads(said)
        assert view["models"]["m"]["endpoints"][2]["weight"] == 2.5
        assert infergate(serving, "backends", "weight", "m-2", "default")[0] == 0
        assert serving.endpoints("m")["m-2"]["weight"] == 1.0


def test_the_last_endpoint_is_drained_only_by_force(tmp_path: Path, repository: Repository) -> None:
    """Its requests would wait in vain."""
    with Serving(tmp_path, text(repository, replicas=1, processes=1)).ready() as serving:
        code, _, said = infergate(serving, "backends", "drain", "m-0")
        assert code == 1
        assert "last endpoint of model 'm'" in said
        assert infergate(serving, "backends", "drain", "m-0", "--force")[0] == 0
        assert serving.get("/v2/health/ready")[0] == 503
        assert infergate(serving, "backends", "undrain", "m-0")[0] == 0
        assert serving.get("/v2/health/ready")[0] == 200


def test_a_gateway_that_is_started_anew_keeps_to_what_operators_said(
    tmp_path: Path, repository: Repository
) -> None:
    """It begins with the generation in effect."""
    row = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]}]}
    with Serving(tmp_path, text(repository, processes=1)).ready() as serving:
        assert serving.act("/v1/backends/m-0", drained=True, weight=3.0)[0] == 200
        assert serving.reload(text(repository, processes=1, replicas=2))[0] == 200
        pid = serving.children()["gateway.process"]
        pidfd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        assert wait_gone(pidfd)
        os.close(pidfd)
        for _ in range(20):
            assert serving.post("/v2/models/m/infer", row)[0] == 200
        found = serving.metrics("infergate_attempts_total")
        assert found == {'{endpoint="m-1",model="m",result="ok"}': 20}


async def test_a_rolling_restart_replaces_every_worker_and_loses_nothing(
    tmp_path: Path, repository: Repository
) -> None:
    """Never fewer are ready than before, one more at a time is running, and all are new."""
    with Serving(tmp_path, text(repository, processes=1)).ready() as serving:
        old = {pid for name, pid in serving.children().items() if name.startswith("m-")}
        ready: list[int] = []
        running: list[int] = []

        async def sample(until: asyncio.Event) -> None:
            while not until.is_set():
                states = await asyncio.to_thread(serving.metrics, "infergate_endpoint_state")
                counts = [n for labels, n in states.items() if 'state="ready"' in labels]
                ready.append(int(sum(counts)))
                names = [name for name in serving.children() if name.startswith("m-")]
                running.append(len(names))

        async with asked(Asking(serving.http, repository)) as asking:
            done = asyncio.Event()
            sampling = asyncio.create_task(sample(done))
            code, said, _ = await asyncio.to_thread(infergate, serving, "backends", "restart", "m")
            done.set()
            await sampling
            assert code == 0
            assert len(said.splitlines()) == 3
        new = {pid for name, pid in serving.children().items() if name.startswith("m-")}
    assert asking.outcome.failures() == {}
    assert len(new) == 3
    assert not new & old
    assert min(ready) >= 3
    assert max(running) <= 4


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("backends", "drain", "m-9"), 2, "no endpoint 'm-9'; there are: m-0"),
        (("backends", "weight", "m-0", "heavy"), 2, "weight heavy: expected a number"),
        (("backends", "weight", "m-0", "0"), 2, "expected more than 0"),
        (("backends", "restart", "x"), 2, "no model 'x'; there are: m"),
    ],
)
def test_what_makes_no_sense_is_refused(
    serving_once: Serving, arguments: tuple[str, ...], code: int, part: str
) -> None:
    """With what would."""
    found, _, said = infergate(serving_once, *arguments)
    assert (found, part in said) == (code, True), said


@pytest.fixture(name="serving_once", scope="module")
def fixture_serving_once(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One gateway for tests that change nothing."""
    directory = tmp_path_factory.mktemp("once")
    repository = Repository(directory / "repository")
    repository.add("m", 1, 2.0)
    with Serving(directory, text(repository, replicas=1, processes=1)).ready() as serving:
        yield serving


def test_a_changing_request_must_say_that_it_is_json(serving_once: Serving) -> None:
    """A page in a browser cannot send that to another origin."""
    connection = http.client.HTTPConnection(serving_once.admin, timeout=30)
    connection.request("POST", "/v1/config/reload", b"{}", {"Content-Type": "text/plain"})
    assert connection.getresponse().status == 415
    connection.close()


def test_reload_by_the_command_line(tmp_path: Path, repository: Repository) -> None:
    """Exit code 0 with what changed, 2 with each fault, 1 with what could not be loaded."""
    with Serving(tmp_path, text(repository, processes=1)).ready() as serving:
        assert infergate(serving, "reload") == (0, "unchanged, generation 1\n", "")
        serving.config.write_text(text(repository, processes=4, replicas=2))
        code, said, _ = infergate(serving, "reload")
        assert (code, said.splitlines()) == (
            0,
            [
                "generation 2 is in effect",
                "  models.m: changed: backends",
                "  workers ended: m-2",
                (
                    "  needs a restart: server.processes: 4 is in the file, 1 in effect until "
                    "the next start"
                ),
            ],
        )
        serving.config.write_text("modules: {}\nmodels: {}\n")
        code, _, said = infergate(serving, "reload")
        assert code == 2
        assert [line.partition("config.yaml:")[2][:2] for line in said.splitlines()[:2]] == [
            "1:",
            "2:",
        ]
        serving.config.write_text(text(repository, processes=1, replicas=2))
        (repository.path("m") / "2").mkdir()
        (repository.path("m") / "2" / "model.onnx").write_bytes(b"no model")
        code, _, said = infergate(serving, "reload")
        assert code == 1
        assert "model.onnx" in said.splitlines()[0]


def test_a_gateway_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """With what to give instead."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "backends", "list", "--admin", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "infergate: no gateway at 127.0.0.1:1: Connection refused; give its admin port with "
        "--admin\n"
    )
