# SPDX-License-Identifier: Apache-2.0
"""A data port over a service without models: by the aiohttp server alone, or by the fast lane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from gateway.edge.app import make_server
from gateway.edge.lane import Lane
from tests.support.edge import Served, Service, model
from tests.support.http import PATIENCE

# Both must answer the same bytes.
WAYS = ("aiohttp", "lane")


@asynccontextmanager
async def data_port(
    service: Service | None = None, *, way: str = "aiohttp", max_body: int = 1 << 20, **options: Any
) -> AsyncIterator[int]:
    """Serve *service* until the end; gives the port. *options* are those of `make_server`."""

    async def metrics() -> bytes:
        return b"up 1\n"

    service = service or Service()
    server = make_server(
        service,
        options.pop("models", {"m": Served(model())}),
        metrics=options.pop("metrics", metrics),
        max_body=max_body,
        **options,
    )
    lane = Lane(service, fallback=server, max_body=max_body)
    protocol: Callable[[], asyncio.Protocol] = lane if way == "lane" else server
    listener = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        lane.drain()
        async with asyncio.timeout(PATIENCE):
            await lane.closed()
        await server.shutdown(1.0)
