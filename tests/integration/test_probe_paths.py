# SPDX-License-Identifier: Apache-2.0
"""Probes tell a poisoned cache from a wrong endpoint, and ask servers elsewhere too."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.wire.tensor import Tensor
from tests.integration.test_probe_ejection import kill, probe, replace_silently
from tests.support.factors import Repository
from tests.support.scripted_worker import ScriptedWorker
from tests.support.serving import Serving
from tests.support.upstream import MODEL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.e2e

ROWS = 16


class Honest:
    """Answers with what it is asked, or, while it *lies*, with the opposite."""

    def __init__(self, worker: ScriptedWorker) -> None:
        self.lies = False
        self.asked = 0
        self._worker = worker

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            received = await self._worker.requests.get()
            array = received.inputs[0].array()
            self.asked += len(array)
            said = np.ascontiguousarray(-array if self.lies else array)
            received.respond(Tensor.of(MODEL.outputs[0].name, said), rows=len(array))


@asynccontextmanager
async def honest(directory: Path) -> AsyncIterator[tuple[ScriptedWorker, Honest]]:
    """A worker that does what the test says."""
    async with ScriptedWorker(directory) as worker, asyncio.TaskGroup() as group:
        answering = Honest(worker)
        task = group.create_task(answering.run())
        try:
            yield worker, answering
        finally:
            task.cancel()


def saved(directory: Path) -> np.ndarray[Any, Any]:
    """The rows of the set, each with a highest score."""
    values = np.arange(1, ROWS + 1, dtype=np.float32)
    rows = np.stack([values, -values], axis=1)
    np.savez(directory / "probe.npz", x=rows, labels=np.zeros(ROWS, np.int64))
    return rows


def config(directory: Path, backend: str, more: str = "") -> str:
    """One model of one backend, with a set of sixteen rows."""
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s}\n"
        f"ledger: {{url: 'sqlite:///{directory}/ledger.sqlite3'}}\n"
        f"models: {{m: {{backends: [{backend}], "
        f"probes: [{{file: {directory}/probe.npz, every: 1h, share: 100%}}]{more}}}}}\n"
    )


def series(found: dict[str, Any]) -> dict[str, Any]:
    """The series of a round by path."""
    return {each["path"]: each for each in found["series"]}


async def test_a_poisoned_cache_is_told_from_a_wrong_endpoint(tmp_path: Path) -> None:
    """What was put there while the model was wrong is given long after it is right again."""
    rows = saved(tmp_path)
    async with honest(tmp_path) as (worker, answering):
        text = config(tmp_path, f"{{address: '{worker.address}'}}", ", cache: {adaptive: false}")
        starting = await asyncio.to_thread(Serving, tmp_path, text)
        with starting as serving:
            await asyncio.to_thread(serving.ready)
            first = await probe(serving)
            assert first["outcome"] == "first", first
            assert series(first)["direct"]["figures"]["accuracy"]["value"] == 1.0
            calm = await probe(serving)
            assert calm["outcome"] == "same", calm
            cached = series(calm)["cached"]
            assert (cached["from_cache"], cached["change"]["flipped"]) == (ROWS, 0)
            # A client has the second half of the rows answered while the model is wrong.
            await asyncio.to_thread(serving.act, "/v1/cache/purge", all=True)
            answering.lies = True
            asked = {
                "inputs": [
                    {"name": "x", "datatype": "FP32", "shape": [8, 2],
                     "data": rows[8:].ravel().tolist()}
                ]
            }  # fmt: skip
            status, _ = await asyncio.to_thread(serving.post, "/v2/models/m/infer", asked)
            assert status == 200
            answering.lies = False
            found = await probe(serving)
            assert found["outcome"] == "wrong", found
            flipped = {path: each["change"]["flipped"] for path, each in series(found).items()}
            assert flipped == {"direct": 0, "uncached": 0, "cached": 8}
            assert found["ejected"] == []
            assert "The cache of m gives answers that the model does not give" in found["sentence"]
            await asyncio.to_thread(serving.act, "/v1/cache/purge", all=True)
            assert (await probe(serving))["outcome"] == "same"
            # Nobody's traffic: the only request that counts is the client's.
            counted = await asyncio.to_thread(serving.metrics, "infergate_requests_total")
            assert sum(counted.values()) == 1


async def test_a_server_elsewhere_is_asked_too(tmp_path: Path) -> None:
    """Its only endpoint stays, and what it says is told; the operator may take it for right."""
    repository = Repository(tmp_path / "repository")
    repository.add("m", 1, 2.0)
    values = np.arange(1, ROWS + 1, dtype=np.float32)[:, None]
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    np.savez(tmp_path / "here" / "probe.npz", x=values)
    there = (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', reload: {watch: false}}\n"
        f"models: {{m: {{backends: [{{worker: {{path: {repository.path('m')}}}}}]}}}}\n"
    )
    with Serving(tmp_path / "there", there).ready() as elsewhere:
        text = config(tmp_path / "here", f"{{url: 'http://{elsewhere.http}'}}")
        with Serving(tmp_path / "here", text).ready() as serving:
            assert (await probe(serving))["outcome"] == "first"
            calm = await probe(serving)
            assert calm["outcome"] == "same", calm
            replace_silently(repository, 3.0)
            await asyncio.to_thread(kill, elsewhere, "m-0")
            found = await probe(serving)
            # What can be sent requests is known to the control process once a second.
            while any(each["error"] for each in found["series"]) or not found["spared"]:
                found = await probe(serving)
            assert (found["outcome"], found["ejected"]) == ("wrong", []), found
            assert found["spared"] == [series(found)["direct"]["endpoint"]]
            assert (await probe(serving, accept=True))["outcome"] == "first"
            assert (await probe(serving))["outcome"] == "same"
