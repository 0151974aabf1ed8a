# SPDX-License-Identifier: Apache-2.0
"""A worker whose model file was silently replaced is ejected by probes while clients are served."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import models
from tests.support.events import wait_gone
from tests.support.factors import Asking, Repository, asked
from tests.support.serving import Serving

pytestmark = pytest.mark.e2e


def text(directory: Path, repository: Repository, *, more: str = "", every: str = "1h") -> str:
    """Two workers of one model, and a set of 40 rows that they are asked for."""
    rows = np.arange(40, dtype=np.float32)[:, None]
    np.savez(directory / "probe.npz", x=rows, labels=(rows[:, 0] * 2).astype(np.float64))
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s, processes: 2, "
        "reload: {watch: false}}\n"
        f"ledger: {{url: 'sqlite:///{directory}/ledger.sqlite3'}}\n"
        f"models: {{m: {{backends: [{{worker: {{path: {repository.path('m')}, replicas: 2}}}}], "
        f"probes: [{{file: {directory}/probe.npz, every: {every}, share: 100%}}]{more}}}}}\n"
    )


@pytest.fixture(name="repository")
def fixture_repository(tmp_path: Path) -> Repository:
    """One model that doubles."""
    repository = Repository(tmp_path / "repository")
    repository.add("m", 1, 2.0)
    return repository


def replace_silently(repository: Repository, factor: float) -> None:
    """Put another model file in the place of the one that is served; no worker looks at it yet."""
    path = repository.path("m") / "1" / "model.onnx"
    draft = path.with_suffix(".draft")
    draft.write_bytes(models.times(factor).SerializeToString())
    draft.replace(path)
    # What it answers is right for it: whoever asks checks answers by the digest that they carry.
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    repository.known[digest] = ("1", factor)


def kill(serving: Serving, name: str) -> None:
    """End a process at once, and see that it has ended."""
    pidfd = os.pidfd_open(serving.children()[name])
    os.kill(serving.children()[name], signal.SIGKILL)
    assert wait_gone(pidfd)
    os.close(pidfd)


async def until_up(serving: Serving, name: str) -> None:
    """Wait until *name*, which has just been killed, answers clients again."""
    row = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]}]}
    while True:
        # The gateway process knew of its end at once, so an answer is of its new life.
        answered = await asyncio.to_thread(backend_of, serving, row)
        endpoints = await asyncio.to_thread(serving.endpoints, "m")
        if answered == name and "down" not in endpoints[name]["states"].values():
            return


async def until_ejected(serving: Serving, name: str) -> None:
    """Wait until both gateway processes have *name* out, whoever is being started anew."""
    states: list[str] = []
    while states != ["ejected", "ejected"]:
        await asyncio.sleep(0.1)
        with suppress(OSError):
            endpoints = await asyncio.to_thread(serving.endpoints, "m")
            states = list(endpoints.get(name, {"states": {}})["states"].values())


def backend_of(serving: Serving, row: object) -> str:
    """Which endpoint answers *row*."""
    connection = http.client.HTTPConnection(serving.http, timeout=60)
    try:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        connection.request("POST", "/v2/models/m/infer", json.dumps(row), headers)
        return connection.getresponse().headers.get("Infergate-Backend", "")
    finally:
        connection.close()


async def probe(serving: Serving, model: str = "m", **more: object) -> dict[str, Any]:
    """A round of *model* now."""
    status, answer = await asyncio.to_thread(serving.act, "/v1/probes", model=model, **more)
    assert status == 200, answer
    found: dict[str, Any] = answer
    return found


async def test_a_silently_replaced_file_is_ejected_while_clients_are_served(
    tmp_path: Path, repository: Repository
) -> None:
    """Within two rounds, in all gateway processes, and never the last; it comes back when right."""
    with Serving(tmp_path, text(tmp_path, repository)).ready() as serving:
        first = await probe(serving)
        assert first["outcome"] == "first", first
        assert [each["error"] for each in first["series"]] == [""] * len(first["series"])
        calm = await probe(serving)
        assert (calm["outcome"], calm["ejected"]) == ("same", []), calm
        assert {each["change"]["flipped"] for each in calm["series"]} == {0}
        async with asked(Asking(serving.http, repository)) as asking:
            replace_silently(repository, 3.0)
            await asyncio.to_thread(kill, serving, "m-1")
            await until_up(serving, "m-1")
            found = await probe(serving)
            assert found["outcome"] == "wrong", found
            assert found["ejected"] == ["m-1"]
            assert "m-1 has another model file than it should have" in found["sentence"]
            # What was on its way there is answered by now.
            await asking.goes_on(100)
            before = asking.endpoints.copy()
            await asking.goes_on(300)
            assert set(asking.endpoints - before) == {"m-0"}
            states = await asyncio.to_thread(serving.endpoints, "m")
            assert set(states["m-1"]["states"].values()) == {"ejected"}
            assert states["m-1"]["wrong"]
        assert asking.outcome.failures() == {}
        # One for each process; they post their metrics once a second.
        series = '{endpoint="m-1",reason="quality"}'
        ejections = 0.0
        while ejections != 2:
            found = await asyncio.to_thread(
                serving.metrics, "infergate_ejections_total", admin=True
            )
            ejections = found.get(series, 0.0)
        # The last one stays, whatever it answers.
        kill(serving, "m-0")
        await until_up(serving, "m-0")
        spared = await probe(serving)
        assert (spared["ejected"], spared["spared"]) == ([], ["m-0"]), spared
        # The file is what it was: after two good rounds both take requests.
        replace_silently(repository, 2.0)
        for name in ("m-1", "m-0"):
            kill(serving, name)
        await until_up(serving, "m-0")
        rounds = [await probe(serving) for _ in range(2)]
        assert [each["returned"] for each in rounds] == [[], ["m-1"]], rounds
        await until_up(serving, "m-1")
        assert json.loads(serving.get("/v1/probes", admin=True)[1])["probes"][0]["rounds"]


async def test_an_ejection_outlives_the_control_process_and_a_gateway(
    tmp_path: Path, repository: Repository
) -> None:
    """What was golden is in the ledger, and who is out in the generation."""
    with Serving(tmp_path, text(tmp_path, repository)).ready() as serving:
        await probe(serving)
        replace_silently(repository, 3.0)
        await asyncio.to_thread(kill, serving, "m-1")
        await until_up(serving, "m-1")
        assert (await probe(serving))["ejected"] == ["m-1"]
        await asyncio.to_thread(kill, serving, "gateway.control")
        await asyncio.to_thread(kill, serving, "gateway.process")
        await until_ejected(serving, "m-1")
        again = await probe(serving)
        assert (again["outcome"], again["ejected"]) == ("wrong", []), again
        await until_ejected(serving, "m-1")
        # An operator takes the new file for right: it is golden from now on.
        await asyncio.to_thread(kill, serving, "m-0")
        await until_up(serving, "m-0")
        assert (await probe(serving, accept=True))["outcome"] == "first"
        rounds = [await probe(serving) for _ in range(2)]
        assert [each["returned"] for each in rounds] == [[], ["m-1"]], rounds
