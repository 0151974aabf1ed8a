# SPDX-License-Identifier: Apache-2.0
"""A new version of a model comes under load: every answer is wholly of one or of the other."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.support.factors import Asking, Repository, asked
from tests.support.serving import Serving

pytestmark = pytest.mark.e2e


def text(repository: Repository, *, worker: str = "replicas: 2", more: str = "") -> str:
    """A configuration of one model."""
    worker = f"worker: {{path: {repository.path('m')}, {worker}}}"
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s, processes: 2}\n"
        f"models: {{m: {{backends: [{{{worker}}}]{more}}}}}\n"
    )


@pytest.fixture(name="repository")
def fixture_repository(tmp_path: Path) -> Repository:
    """One model in its first version."""
    repository = Repository(tmp_path / "repository")
    repository.add("m", 1, 2.0)
    return repository


@pytest.mark.parametrize("more", ["", ", cache: {}"], ids=["computed", "cached"])
async def test_every_answer_is_right_for_its_digest(
    tmp_path: Path, repository: Repository, more: str
) -> None:
    """Five versions one after the other, each all of it before the reload is answered."""
    with Serving(tmp_path, text(repository, more=more)).ready() as serving:
        async with asked(Asking(serving.http, repository)) as asking:
            for version in range(2, 6):
                digest = repository.add("m", version, float(version) * 7)
                status, answer = await asyncio.to_thread(serving.act, "/v1/config/reload")
                assert (status, answer["result"]) == (200, "applied"), answer
                # What the clients had sent by then may still be answered by the one before.
                await asking.goes_on(50)
                before = asking.digests.copy()
                await asking.goes_on(100)
                assert set(asking.digests - before) == {digest}
        left = {name for name in serving.children() if name.startswith("m-")}

    assert asking.outcome.failures() == {}
    assert len(asking.digests) == 5
    assert len(left) <= 4


async def test_an_older_version_can_be_gone_back_to(tmp_path: Path, repository: Repository) -> None:
    """By naming it, with the newer one in place."""
    first = next(iter(repository.known))
    second = repository.add("m", 2, 5.0)
    with Serving(tmp_path, text(repository)).ready() as serving:
        async with asked(Asking(serving.http, repository)) as asking:
            pinned = text(repository, worker="version: 1")
            status, answer = await asyncio.to_thread(serving.reload, pinned)
            assert status == 200, answer
            await asking.goes_on(200)
    assert asking.outcome.failures() == {}
    assert set(asking.digests) == {first, second}


async def test_a_version_that_cannot_be_loaded_leaves_the_old_one(
    tmp_path: Path, repository: Repository
) -> None:
    """The answer names the file and what is wrong with it; no worker is left behind."""
    first = next(iter(repository.known))
    broken = repository.path("m") / "2"
    with Serving(tmp_path, text(repository)).ready() as serving:
        async with asked(Asking(serving.http, repository)) as asking:
            broken.mkdir()
            (broken / "model.onnx").write_bytes(b"this is no model")
            status, answer = await asyncio.to_thread(serving.act, "/v1/config/reload")
            assert status == 409
            assert any("model.onnx" in fault for fault in answer["faults"]), answer
            await asking.goes_on(100)
        results = serving.metrics("infergate_config_reloads_total", admin=True)
        workers = [name for name in serving.children() if name.startswith("m-")]
    assert asking.outcome.failures() == {}
    assert set(asking.digests) == {first}
    assert results == {'{result="failed"}': 1}
    assert sorted(workers) == ["m-0", "m-1"]


def test_steps_that_do_not_fit_leave_the_old_configuration(
    tmp_path: Path, repository: Repository
) -> None:
    """Only a running model can tell that, and it is asked before anything is switched."""
    row = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [3]}]}
    with Serving(tmp_path, text(repository)).ready() as serving:
        steps = "    postprocess: [{argmax: {output: nothing}}]\n"
        plain = (
            "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s, processes: 2}\n"
            f"models:\n  m:\n    backends: [{{worker: {{path: {repository.path('m')}, "
            f"replicas: 2}}}}]\n{steps}"
        )
        status, answer = serving.reload(plain)
        assert status in {400, 409}, answer
        assert "nothing" in answer["faults"][0]
        assert serving.post("/v2/models/m/infer", row)[1]["outputs"][0]["data"] == [6.0]


def test_a_restarted_worker_serves_what_its_siblings_serve(
    tmp_path: Path, repository: Repository
) -> None:
    """A newer version that lies there waits for its reload."""
    with Serving(tmp_path, text(repository)).ready() as serving:
        repository.add("m", 2, 5.0)
        pid = serving.children()["m-0"]
        os.kill(pid, signal.SIGKILL)
        while serving.children().get("m-0", pid) == pid or (
            serving.endpoints("m")["m-0"]["state"] != "ready"
        ):
            pass
        _, model = serving.get("/v2/models/m")
        assert '"versions":["1"]' in model
