# SPDX-License-Identifier: Apache-2.0
"""A worker that is replaced by another at the same address, with another model file."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import msgspec
import onnx

from backends import repository
from gateway.wire.model import TensorSpec
from tests.support import models
from tests.support.scenarios import one_worker
from tests.support.trial import Reply, trial, until
from tests.support.upstream import MODEL
from tests.support.worker_process import Worker


def digest(reply: Reply) -> str | None:
    """The model file that the answer came from."""
    assert reply.code == "ok"
    return reply.response.header("infergate-model-digest")


def version(directory: Path, note: str) -> tuple[Path, str]:
    """A file of the same model whose bytes are others, and the beginning of its digest."""
    model: onnx.ModelProto = models.identity()
    model.doc_string = note
    path = models.save(model, directory / "m")
    file = path / "1" / "model.onnx"
    return path, repository.digest(file)[:16]


async def test_no_answer_of_the_old_model_is_given_for_the_new_one(tmp_path: Path) -> None:
    """Neither out of the cache nor under the wrong digest."""
    async with one_worker(tmp_path, cache={}) as (under, worker):
        first = await under.ask()
        assert digest(await under.ask(again=first.number)) == "0" * 16
        assert worker.sent[first.number] == 1
        worker.model = msgspec.structs.replace(MODEL, digest="1" * 64)
        await worker.restart("2")
        await until(lambda: under.endpoint(worker.address).instance == "2")
        assert digest(await under.ask(again=first.number)) == "1" * 16
        assert worker.sent[first.number] == 2
        assert under.metric("cache_total", result="hit") == 1


async def test_a_model_that_takes_something_else_is_asked_nothing_that_does_not_fit(
    tmp_path: Path,
) -> None:
    """A request is checked against the model that there is, not the one that there was."""
    async with one_worker(tmp_path) as (under, worker):
        worker.model = msgspec.structs.replace(MODEL, inputs=(TensorSpec("z", "FP32", (-1, 2)),))
        await worker.restart("2")
        await until(lambda: under.endpoint(worker.address).instance == "2")
        sent = worker.done["answer"]
        reply = await under.ask()
        assert (reply.status, reply.code) == (400, "invalid_request")
        assert worker.done["answer"] == sent
        worker.model = MODEL
        await worker.restart("3")
        await until(lambda: under.endpoint(worker.address).instance == "3")


async def test_a_real_worker_is_replaced_on_its_port(tmp_path: Path) -> None:
    """Who asks meanwhile waits for the new one, and is answered by it."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        address = f"tcp:127.0.0.1:{reserved.getsockname()[1]}"
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old, old_digest = version(tmp_path / "old", "the old one")
    new, new_digest = version(tmp_path / "new", "the new one")
    assert old_digest != new_digest
    with Worker(old, listen=address) as worker:
        async with trial(tmp_path, address) as under:
            assert digest(await under.ask()) == old_digest
            worker.process.kill()
            worker.ends()
            await until(lambda: under.state(address) == "down")
            waiting = [under.start(rows=2) for _ in range(3)]
            await until(lambda: under.queued == 6)
            replacement = await asyncio.to_thread(Worker, new, listen=address)
            with replacement:
                assert [digest(await task) for task in waiting] == [new_digest] * 3
                await under.settles()
