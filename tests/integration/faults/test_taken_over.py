# SPDX-License-Identifier: Apache-2.0
"""A worker's address that the worker of another model takes over."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import msgspec
import onnx
import pytest

from gateway.wire.model import TensorSpec
from tests.support import models
from tests.support.scenarios import two_workers
from tests.support.trial import trial, until
from tests.support.upstream import MODEL
from tests.support.worker_process import Worker

# What a worker of another model says of it: its name, and what it takes.
STRANGERS = {
    "name": msgspec.structs.replace(MODEL, name="other"),
    "inputs": msgspec.structs.replace(MODEL, inputs=(TensorSpec("x", "FP32", (-1, 3)),)),
    "outputs": msgspec.structs.replace(MODEL, outputs=(TensorSpec("z", "INT64", (-1, 2)),)),
}


@pytest.mark.parametrize("differs", STRANGERS)
async def test_it_is_ejected_and_sent_nothing(tmp_path: Path, differs: str) -> None:
    """For as long as it is there, and told once; the one that is expected is taken back."""
    async with two_workers(tmp_path) as (under, taken, good):
        taken.model = STRANGERS[differs]
        await taken.restart("2")
        await until(
            lambda: under.metric("ejections_total", endpoint=taken.address, reason="identity") == 1
        )
        before = taken.sent.total()
        assert {reply.code for reply in await under.ask_many(24)} == {"ok"}
        assert under.state(taken.address) == "down"
        # It is looked at again, and it is still the same one.
        seen = taken.accepted.qsize()
        await until(lambda: taken.accepted.qsize() > seen + 1)
        assert taken.sent.total() == before
        assert under.metric("ejections_total", reason="identity") == 1
        taken.model = MODEL
        await taken.restart("3")
        await until(lambda: under.all_ready)
        while taken.sent.total() == before:
            assert (await under.ask()).code == "ok"
        assert good.sent.total() > 0


def serving(directory: Path, name: str, model: onnx.ModelProto) -> Path:
    """A directory with *model* under *name*."""
    directory.mkdir(exist_ok=True)
    return models.save(model, directory / name)


@pytest.mark.parametrize(
    ("name", "model"),
    [("other", models.identity()), ("m", models.times(3.0))],
    ids=["another name", "another input"],
)
async def test_a_real_worker_of_another_model_on_its_port(
    tmp_path: Path, name: str, model: onnx.ModelProto
) -> None:
    """Its neighbour answers all; the right one comes back to the port and is used again."""
    addresses = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            addresses.append(f"tcp:127.0.0.1:{reserved.getsockname()[1]}")
    right = serving(tmp_path / "right", "m", models.identity())
    wrong = serving(tmp_path / "wrong", name, model)
    with Worker(right, listen=addresses[0]) as worker, Worker(right, listen=addresses[1]):
        async with trial(tmp_path, *addresses) as under:
            worker.process.kill()
            worker.ends()
            await until(lambda: under.state(addresses[0]) == "down")
            with await asyncio.to_thread(Worker, wrong, listen=addresses[0]) as stranger:
                await until(lambda: under.metric("ejections_total", reason="identity") == 1)
                attempts = under.metric("attempts_total", endpoint=addresses[0])
                assert {reply.code for reply in await under.ask_many(12)} == {"ok"}
                assert under.metric("attempts_total", endpoint=addresses[0]) == attempts
                stranger.process.kill()
                stranger.ends()
            with await asyncio.to_thread(Worker, right, listen=addresses[0]):
                await until(lambda: under.all_ready)
                while under.metric("attempts_total", endpoint=addresses[0]) == attempts:
                    assert (await under.ask()).code == "ok"
                await under.settles()
