# SPDX-License-Identifier: Apache-2.0
"""A client that announces a body and sends it byte by byte."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from gateway.telemetry.usage import resident_memory
from tests.support.dataport import WAYS, open_data_port
from tests.support.http import connect, request, until
from tests.support.slow import dribble
from tests.support.v2 import body

INFER = "/v2/models/m/infer"
MiB = 1 << 20


def head(length: int) -> bytes:
    """The head of a request with so long a body."""
    return request("POST", INFER, headers={"Content-Length": str(length)})


CHUNKED = request("POST", INFER, headers={"Transfer-Encoding": "chunked"}) + b"fffff\r\n"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("begun", [head(1000), head(900_000), CHUNKED])
async def test_a_body_has_its_time(way: str, begun: bytes) -> None:
    """The answer says why, and that it is the last; then nothing is left."""
    async with open_data_port(way=way, body_timeout=0.3) as port, connect(port.port) as client:
        await client.send(begun)
        async with dribble(client, b"{") as sender:
            answer = await client.receive()
            assert sender.sent > 2
        assert (answer.status, answer.header("Infergate-Error")) == (408, "request_timeout")
        assert answer.header("Connection") == "close"
        assert await port.slow.get() == "body"
        client.reset()
        await until(lambda: not port.connections)


@pytest.mark.parametrize("way", WAYS)
async def test_the_rest_of_a_slow_body_is_not_waited_for(way: str) -> None:
    """A client that goes on sending behind the answer is left after two seconds."""
    async with open_data_port(way=way, body_timeout=0.1) as port, connect(port.port) as client:
        await client.send(head(1000))
        async with dribble(client, b"{"):
            assert (await client.receive()).status == 408
            assert await client.closed()
            await until(lambda: not port.connections)


@pytest.mark.parametrize("way", WAYS)
async def test_an_announced_length_takes_no_memory(way: str) -> None:
    """Sixty clients that announce 64 MiB each and send little make the process hold little."""
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(
            open_data_port(way=way, max_body=64 * MiB, body_timeout=5)
        )
        before = resident_memory()
        clients = [await stack.enter_async_context(connect(port.port)) for _ in range(60)]
        for client in clients:
            await client.send(head(64 * MiB) + b" " * 70_000)
        await until(lambda: port.connections == len(clients))
        # A whole answer to another client: everything that was sent before has been read.
        for _ in range(3):
            async with connect(port.port) as quick:
                assert (await quick.ask("POST", INFER, body())).status == 200
        assert port.slow.empty()
        assert resident_memory() - before < 200 * MiB


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_leaves_within_a_body_leaves_nothing(way: str) -> None:
    """Neither a connection nor a request."""
    async with open_data_port(way=way) as port:
        async with connect(port.port) as client:
            await client.send(head(900_000) + b" " * 80_000)
            await until(lambda: port.connections == 1)
        await until(lambda: not port.connections)
        assert port.slow.empty()
