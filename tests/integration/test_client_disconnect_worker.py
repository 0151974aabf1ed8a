# SPDX-License-Identifier: Apache-2.0
"""A client that goes away while a real worker computes for it alone, through the whole stack."""

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
from gateway.config.placement import placed
from gateway.serving import Gateway
from gateway.telemetry import Telemetry
from gateway.wire.generation import Generation
from tests.support import models
from tests.support.dataport import data_port
from tests.support.http import chunked, connect, request, until
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
    config = load(str(path))
    gateway = Gateway(
        config,
        Generation(1, str(path), placed(config)),
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


async def test_alone_the_run_ends_in_the_worker(tmp_path: Path, way: Way) -> None:
    """A run without end is terminated, and the next one gets its turn."""
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
