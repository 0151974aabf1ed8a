# SPDX-License-Identifier: Apache-2.0
"""Candidates on real models: promoted on agreement alone, taken back when wrong, never in between.

Digits are asked for under load all the while, and no request may fail.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import signal
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from tests.support.events import wait_gone
from tests.support.serving import Serving
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.e2e

# Rows of a request, and clients at a time; few where the next life must read them all again.
ROWS, CLIENTS = 30, 4
FEW_ROWS, FEW_CLIENTS = 4, 1


def digits(directory: Path, name: str) -> Path:
    """Where the file of a copy of the digits model is, which is named *name*."""
    path = directory / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    shutil.copy(ROOT / "models" / "digits" / "1" / "model.onnx", path)
    return path


def quantised(directory: Path, name: str) -> Path:
    """The digits model with weights of eight bits."""
    path = digits(directory, name)
    quantize_dynamic(
        ROOT / "models" / "digits" / "1" / "model.onnx", path, weight_type=QuantType.QInt8
    )
    return path


def damaged(path: Path) -> None:
    """Put noise over the weights in *path*."""
    model = onnx.load(path)
    random = np.random.default_rng(3)
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        noisy = values + random.normal(0, 3 * values.std(), values.shape)
        weight.CopyFrom(numpy_helper.from_array(noisy.astype(values.dtype), weight.name))
    draft = path.with_suffix(".draft")
    onnx.save(model, draft)
    draft.replace(path)


def text(directory: Path, candidate: Path, **more: object) -> str:
    """The digits model and *candidate*, which is its shadow for all requests."""
    options = {
        "model": "candidate", "margin": "5%", "auto": "true", "hold": "0s", "min_rows": 100,
        "min_requests": 10, "latency": "null", "stages": "[shadow, 50%, 100%]", **more,
    }  # fmt: skip
    section = ", ".join(f"{name}: {value}" for name, value in options.items())
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s, processes: 2}\n"
        f"ledger: {{url: 'sqlite:///{directory / 'ledger.sqlite3'}'}}\n"
        "models:\n"
        "  digits:\n"
        f"    backends: [{{worker: {{path: {ROOT / 'models' / 'digits'}}}}}]\n"
        "    quality: {classes: 10}\n"
        "    shadow: {model: candidate, sample: 100%, queue_rows: 100000}\n"
        f"    candidate: {{{section}}}\n"
        f"  candidate: {{backends: [{{worker: {{path: {candidate.parent.parent}}}}}]}}\n"
    )


class Asking:
    """Clients that ask for digits, with what they are where *labelled*; fewer of them if *few*."""

    def __init__(self, serving: Serving, *, labelled: bool = False, few: bool = False) -> None:
        data = np.load(ROOT / "models" / "digits" / "test.npz")
        self.inputs, self.labels = data["inputs"], data["labels"]
        self.serving = serving
        self.labelled = labelled
        few = few or labelled
        self.rows, self.clients = (FEW_ROWS, FEW_CLIENTS) if few else (ROWS, CLIENTS)
        self.stopped = asyncio.Event()
        self.statuses: Counter[int] = Counter()
        self.digests: Counter[str] = Counter()

    def ask(self, number: int) -> str:
        """One request of some rows; gives the digest of who has answered it."""
        count = self.rows
        rows = [(number * count + row) % len(self.inputs) for row in range(count)]
        inputs: list[dict[str, Any]] = [{
            "name": "image", "datatype": "FP32", "shape": [count, 64],
            "data": self.inputs[rows].ravel().tolist(),
        }]  # fmt: skip
        if self.labelled:
            inputs.append({
                "name": "infergate.label", "datatype": "INT64", "shape": [count],
                "data": self.labels[rows].tolist(),
            })  # fmt: skip
        connection = http.client.HTTPConnection(self.serving.http, timeout=60)
        try:
            headers = {"Content-Type": "application/json"}
            body = json.dumps({"inputs": inputs})
            connection.request("POST", "/v2/models/digits/infer", body, headers)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        self.statuses[answer.status] += 1
        digest = answer.headers["Infergate-Model-Digest"]
        self.digests[digest] += 1
        return digest

    async def client(self, number: int) -> None:
        """Ask until stopped."""
        while not self.stopped.is_set():
            await asyncio.to_thread(self.ask, number)
            number += self.clients

    async def now(self) -> set[str]:
        """Who answers from now on: the digests of forty new requests."""
        return {await asyncio.to_thread(self.ask, number) for number in range(40)}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have clients ask meanwhile; none of their requests may fail."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.clients):
                group.create_task(self.client(number))
            try:
                yield
            finally:
                self.stopped.set()
        assert set(self.statuses) == {200}


async def shows(serving: Serving, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until the candidate is as *what* says, and give what is told of it."""
    while True:
        _, told = await asyncio.to_thread(serving.get, "/v1/candidates/digits/decision", admin=True)
        answer: dict[str, Any] = json.loads(told)
        if what(answer):
            return answer


def state(name: str) -> Callable[[dict[str, Any]], bool]:
    """That its state is *name*."""
    return lambda told: bool(told["state"] == name)


def kill_control(serving: Serving) -> None:
    """Kill it, and wait until it is gone."""
    pid = serving.children()["gateway.control"]
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert wait_gone(pidfd)
    os.close(pidfd)


async def test_quantised_is_promoted(tmp_path: Path) -> None:
    """It hardly ever differs; what answers says so, and the audit log says why."""
    candidate = quantised(tmp_path, "candidate")
    with Serving(tmp_path, text(tmp_path, candidate)).ready() as serving:
        asking = Asking(serving)
        async with asking.running():
            told = await shows(serving, state("promoted"))
            new = await asking.now()
        _, audit = serving.get("/v1/audit?model=digits", admin=True)
    decisions = told["decisions"]

    assert told["share"] == 1.0
    assert [each["outcome"] for each in decisions] == ["promote", "advance"]
    assert decisions[0]["evidence"]["evidence"]["decision"]["without_labels"]
    assert decisions[0]["evidence"]["evidence"]["at_most"] < 0.05
    assert new == {decisions[0]["evidence"]["evidence"]["candidate"][:16]}
    assert [each["action"] for each in json.loads(audit)["entries"]] == [
        "candidate: promote", "candidate: advance",
    ]  # fmt: skip


async def test_damaged_is_rolled_back(tmp_path: Path) -> None:
    """By labels, from its shadow stage, before it has answered anybody."""
    candidate = digits(tmp_path, "candidate")
    damaged(candidate)
    with Serving(tmp_path, text(tmp_path, candidate)).ready() as serving:
        asking = Asking(serving, labelled=True)
        async with asking.running():
            told = await shows(serving, state("rolled back"))
    pairs = told["evidence"]["decision"]["pairs"]

    assert len(asking.digests) == 1
    assert pairs["b"] > pairs["c"]
    assert "shown to be worse by more than 5.00%" in told["reason"]


async def test_worse_is_taken_back(tmp_path: Path) -> None:
    """By the model of before, which answers behind it; then that one answers alone."""
    candidate = digits(tmp_path, "candidate")
    damaged(candidate)
    with Serving(tmp_path, text(tmp_path, candidate, auto="false")).ready() as serving:
        status, told = serving.act("/v1/candidates/digits/promote", force=True)
        assert status == 200, told
        asking = Asking(serving, labelled=True)
        async with asking.running():
            told = await shows(serving, state("rolled back"))
            new = await asking.now()

    assert told["reason"].startswith("Since its promotion the new model was at some time worse")
    assert len(asking.digests) == 2
    assert new == {told["evidence"]["model"][:16]}


async def test_killed_leaves_one_state(tmp_path: Path) -> None:
    """In the middle of a promotion and at once behind one; all processes agree, and it goes on."""
    candidate = quantised(tmp_path, "candidate")
    with Serving(tmp_path, text(tmp_path, candidate, auto="false")).ready() as serving:
        asking = Asking(serving, few=True)
        async with asking.running():
            # A gateway that stands still keeps the change from coming into effect.
            gateway = serving.children()["gateway.process"]
            os.kill(gateway, signal.SIGSTOP)
            try:
                wish = asyncio.create_task(asyncio.to_thread(_promote, serving, 1.0))
                told = await shows(serving, lambda told: bool(told["decisions"]))
                assert (told["decisions"][0]["outcome"], told["share"]) == ("promote", 0.0)
                await asyncio.to_thread(kill_control, serving)
            finally:
                os.kill(gateway, signal.SIGCONT)
            assert await wish == (0, None)
            told = await shows(serving, lambda _: True)
            assert (told["share"], told["state"]) == (0.0, "running")
            assert len(await asking.now()) == 1

            status, _ = await asyncio.to_thread(_promote, serving, 1.0)
            assert status == 200
            await asyncio.to_thread(kill_control, serving)
            told = await shows(serving, lambda _: True)
            assert (told["share"], told["state"]) == (1.0, "promoted")
            new = await asking.now()
            assert len(new) == 1

            status, told = await asyncio.to_thread(serving.act, "/v1/candidates/digits/rollback")
            assert (status, told["share"]) == (200, 0.0)
            await asyncio.to_thread(kill_control, serving)
            told = await shows(serving, lambda _: True)
            assert (told["share"], told["state"]) == (0.0, "rolled back")
            assert not new & await asking.now()


def _promote(serving: Serving, share: float) -> tuple[int, Any]:
    """Ask for *share*; whoever is killed meanwhile answers 0."""
    try:
        return serving.act("/v1/candidates/digits/promote", share=share, force=True)
    except (OSError, ValueError, TypeError):
        return 0, None
