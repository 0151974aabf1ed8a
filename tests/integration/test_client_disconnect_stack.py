# SPDX-License-Identifier: Apache-2.0
"""A client that goes away, through the whole stack: its slot is free at once, wherever it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.access_log import AccessLog
from gateway.config import load
from gateway.pipeline import Gateway
from gateway.telemetry import Telemetry
from gateway.wire.tensor import Tensor
from tests.support import models
from tests.support.dataport import data_port
from tests.support.http import Client, chunked, connect, request, until
from tests.support.scripted_worker import Received, ScriptedWorker
from tests.support.v2 import body, tensor
from tests.support.worker_process import FOREVER, Worker

INFER = "/v2/models/m/infer"


def plain(question: bytes) -> bytes:
    """A request that stays in the fast lane, where there is one."""
    return request("POST", INFER, question)


def handed_over(question: bytes) -> bytes:
    """A request that the fast lane gives to the other server."""
    return request("POST", INFER, headers={"Transfer-Encoding": "chunked"}) + chunked(question)


Ask = Callable[[bytes], bytes]
Way = tuple[str, Ask]
WAYS = {
    "fast lane": ("lane", plain),
    "handed over": ("lane", handed_over),
    "aiohttp": ("aiohttp", plain),
}


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def way(request: pytest.FixtureRequest) -> Way:
    """Each way into the process."""
    value: Way = request.param
    return value


class Port:
    """A data port with the whole stack behind it."""

    def __init__(self, number: int, telemetry: Telemetry) -> None:
        self.number = number
        self._telemetry = telemetry

    @property
    def queued(self) -> float:
        """Rows in the queue."""
        self._telemetry.take()
        return self._telemetry.queued_rows.cell("m").value

    @property
    def left(self) -> float:
        """Clients that have left, as far as the stages know."""
        cells = self._telemetry.client_disconnects.cells.values()
        return sum([cell.value for cell in cells])


@asynccontextmanager
async def serving(address: str, directory: Path, server: str) -> AsyncIterator[Port]:
    """The stack before the worker at *address*, which is given one batch at a time."""
    path = directory / "config.yaml"
    backend = {"address": address, "max_concurrency": 1}
    # Probes would come between.
    health = {"interval": "1h", "timeout": "1h"}
    path.write_text(yaml.safe_dump({"models": {"m": {"backends": [backend], "health": health}}}))
    telemetry = Telemetry(["m"])
    gateway = Gateway(
        load(str(path)),
        runtime=directory,
        telemetry=telemetry,
        access_log=AccessLog(telemetry=telemetry, errors=False),
    )
    running = asyncio.ensure_future(gateway.run())
    try:
        await gateway.came_up()
        async with data_port(gateway.service, models=gateway.models, way=server) as number:
            yield Port(number, telemetry)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def row(value: float) -> bytes:
    """A question with one row, by which its answer is known."""
    return body(tensor(data=[value, value]))


def echo(received: Received) -> None:
    """Answer with the rows that came."""
    (given,) = received.inputs
    received.respond(Tensor("y", given.datatype, given.shape, given.data), rows=given.shape[0])


async def answers(client: Client, value: float) -> bool:
    """Whether *client* gets the row of *value*."""
    answer = await client.receive()
    assert answer.status == 200, answer
    found: bool = answer.json()["outputs"][0]["data"] == [value, value]
    return found


async def test_in_the_queue_it_leaves_the_queue(tmp_path: Path, way: Way) -> None:
    """The worker never sees it, and whoever has the slot is not disturbed."""
    server, ask = way
    async with (
        ScriptedWorker(tmp_path) as worker,
        serving(worker.address, tmp_path, server) as port,
        connect(port.number) as first,
        connect(port.number) as second,
        connect(port.number) as third,
    ):
        await first.send(ask(row(1)))
        held = await worker.requests.get()
        await second.send(ask(row(2)))
        await until(lambda: port.queued == 1)
        second.reset()
        await until(lambda: port.queued == 0)
        assert port.left == 1

        echo(held)
        assert await answers(first, 1)
        await third.send(ask(row(3)))
        echo(await worker.requests.get())
        assert await answers(third, 3)
        assert worker.cancels.empty()


async def test_in_a_batch_the_batch_goes_on_for_the_others(tmp_path: Path, way: Way) -> None:
    """What it shares with others is computed, and each of them gets its own rows."""
    server, ask = way
    async with (
        ScriptedWorker(tmp_path) as worker,
        serving(worker.address, tmp_path, server) as port,
        connect(port.number) as first,
        connect(port.number) as second,
        connect(port.number) as third,
        connect(port.number) as fourth,
    ):
        await first.send(ask(row(1)))
        held = await worker.requests.get()
        for number, client in enumerate((second, third, fourth), 2):
            await client.send(ask(row(number)))
        await until(lambda: port.queued == 3)
        echo(held)
        batch = await worker.requests.get()
        assert batch.inputs[0].shape == (3, 2)

        third.reset()
        await until(lambda: port.left == 1)
        assert worker.cancels.empty()
        echo(batch)
        assert await answers(second, 2)
        assert await answers(fourth, 4)


async def test_the_last_of_a_batch_takes_it_along(tmp_path: Path, way: Way) -> None:
    """Nobody waits for it any more, so the worker is told, once, and the slot is free."""
    server, ask = way
    async with (
        ScriptedWorker(tmp_path) as worker,
        serving(worker.address, tmp_path, server) as port,
        connect(port.number) as first,
        connect(port.number) as second,
        connect(port.number) as third,
        connect(port.number) as fourth,
    ):
        await first.send(ask(row(1)))
        held = await worker.requests.get()
        await second.send(ask(row(2)))
        await third.send(ask(row(3)))
        await until(lambda: port.queued == 2)
        echo(held)
        batch = await worker.requests.get()
        second.reset()
        await until(lambda: port.left == 1)
        third.reset()
        assert await worker.cancels.get() == batch.id

        # The answer to what was cancelled gives the slot back.
        batch.fail("client_closed")
        await fourth.send(ask(row(4)))
        echo(await worker.requests.get())
        assert await answers(fourth, 4)
        assert worker.cancels.empty()


async def test_alone_the_run_ends_in_the_worker(tmp_path: Path, way: Way) -> None:
    """A real worker: a run without end is terminated, and the next one gets its turn."""
    server, ask = way

    def steps(count: int) -> bytes:
        inputs: list[dict[str, Any]] = [
            {"name": "x", "shape": [1], "datatype": "FP32", "data": [0.5]},
            {"name": "steps", "shape": [1], "datatype": "INT64", "data": [count]},
        ]
        return json.dumps({"inputs": inputs}).encode()

    saved = models.save(models.counting(), tmp_path / "counting")
    with Worker(saved) as worker:
        async with (
            serving(f"unix:{worker.socket}", tmp_path, server) as port,
            connect(port.number) as leaving,
            connect(port.number) as staying,
        ):
            await leaving.send(ask(steps(FOREVER)))
            await staying.send(ask(steps(3)))
            await until(lambda: port.queued == 1)
            leaving.reset()
            answer = await staying.receive()
            assert answer.status == 200, answer
            assert answer.json()["outputs"][0]["data"] == [3.5]
            assert port.left == 1
