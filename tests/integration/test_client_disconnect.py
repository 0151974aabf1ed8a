# SPDX-License-Identifier: Apache-2.0
"""A client that goes away while it waits."""

from __future__ import annotations

import asyncio

import pytest

from gateway.exchange import Exchange
from tests.support.dataport import WAYS, data_port
from tests.support.edge import Service
from tests.support.http import chunked, connect, request
from tests.support.v2 import body

INFER = "/v2/models/m/infer"


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Each way into the process."""
    value: str = request.param
    return value


async def test_a_client_that_goes_away_cancels_its_request(way: str) -> None:
    """Nobody would read the answer."""
    async with asyncio.timeout(20):
        reached = asyncio.Event()

        async def forever(_: Exchange) -> None:
            reached.set()
            await asyncio.Event().wait()

        service = Service(before=forever)
        handed_over = request("POST", INFER, headers={"Transfer-Encoding": "chunked"}) + chunked(
            body()
        )
        for sent in (handed_over, request("POST", INFER, body())):
            reached.clear()
            service.cancelled.clear()
            async with data_port(service, way=way) as port, connect(port) as client:
                await client.send(sent)
                await reached.wait()
                client.reset()
                await service.cancelled.wait()
