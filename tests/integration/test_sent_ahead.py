# SPDX-License-Identifier: Apache-2.0
"""A client that sends requests ahead without end, while the first one is still being answered."""

from __future__ import annotations

import asyncio

import pytest

from gateway.exchange import Exchange
from tests.support.dataport import WAYS, open_data_port
from tests.support.edge import Service
from tests.support.http import connect, request, until
from tests.support.v2 import body

INFER = "/v2/models/m/infer"
MiB = 1 << 20


def full(line: asyncio.WriteTransport) -> bool:
    """Whether what is written to *line* has to wait."""
    return line.get_write_buffer_size() > line.get_write_buffer_limits()[1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("padding", [0, 30_000, 500_000])
async def test_what_is_sent_ahead_is_not_taken_in_without_end(way: str, padding: int) -> None:
    """The server stops reading, so the client cannot send: 400 MiB do not fit anywhere."""
    reached, release = asyncio.Event(), asyncio.Event()

    async def hold(_: Exchange) -> None:
        reached.set()
        await release.wait()

    service = Service(before=hold)
    one = request("POST", INFER, body() if not padding else b" " * padding)
    sent = 0
    async with open_data_port(service, way=way) as port, connect(port.port) as client:
        await client.send(request("POST", INFER, body()))
        await reached.wait()
        block = one * max(1, MiB // len(one))

        async def flood() -> None:
            nonlocal sent
            while sent < 400 * MiB:
                await client.send(block)
                sent += len(block)

        flooding = asyncio.ensure_future(flood())
        # The kernel is full, and takes no more since nobody reads: the client's own buffer grows.
        line = client._writer.transport
        await until(lambda: flooding.done() or (not port.reading and full(line)))
        assert not flooding.done()
        assert sent < 40 * MiB
        assert len(service.exchanges) == 1
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        # Whoever is not read from is not seen to leave either, until its request is answered.
        client.reset()
        release.set()
        await until(lambda: not port.connections)
