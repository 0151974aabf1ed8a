# SPDX-License-Identifier: Apache-2.0
"""A data port over a service without models: by the aiohttp server alone, or by the fast lane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from gateway.edge.app import make_server
from gateway.edge.connection import Connection, DataServer
from gateway.edge.lane import Lane
from gateway.exchange import ExchangeService
from tests.support.edge import Served, Service, model
from tests.support.http import PATIENCE

# Both must answer the same bytes.
WAYS = ("aiohttp", "lane")
# What both take.
_SHARED = {
    "header_timeout",
    "body_timeout",
    "answer_timeout",
    "idle_timeout",
    "gate",
    "refused",
}


class DataPort:
    """An open data port; *slow* collects what clients were too slow at."""

    def __init__(self, lane: Lane, server: DataServer) -> None:
        self.lane = lane
        self.server = server
        self.port = 0
        self.slow: asyncio.Queue[str] = asyncio.Queue()
        # Bytes that waited for clients to read at the moment when one was given up.
        self.held = 0

    @property
    def connections(self) -> int:
        """How many clients it has."""
        return len(self.lane.connections) + len(self.server.connections)

    @property
    def reading(self) -> bool:
        """Whether anything is taken in from any client."""
        return any(each.is_reading() for each in self._transports())

    def _transports(self) -> list[Any]:
        transports: list[Any] = [each._transport for each in self.lane.connections]
        transports += [cast("Connection", each)._line for each in self.server.connections]
        return transports

    def unsent(self) -> int:
        """Bytes of answers that wait for clients to read."""
        return sum([each.get_write_buffer_size() for each in self._transports()])


@asynccontextmanager
async def open_data_port(
    service: ExchangeService | None = None,
    *,
    way: str = "aiohttp",
    max_body: int = 1 << 20,
    **options: Any,
) -> AsyncIterator[DataPort]:
    """Serve *service* until the end. *options* are those of `make_server`."""

    async def metrics() -> bytes:
        return b"up 1\n"

    def slow(what: str) -> None:
        port.held = port.unsent()
        port.slow.put_nowait(what)

    service = service or Service()
    shared = {name: options[name] for name in _SHARED & options.keys()}
    server = make_server(
        service,
        options.pop("models", {"m": Served(model())}),
        metrics=options.pop("metrics", metrics),
        max_body=max_body,
        slow=slow,
        **options,
    )
    lane = Lane(service, fallback=server, max_body=max_body, slow=slow, **shared)
    port = DataPort(lane, server)
    protocol: Callable[[], asyncio.Protocol] = lane if way == "lane" else server
    listener = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    port.port = listener.sockets[0].getsockname()[1]
    sweep = asyncio.ensure_future(lane.sweep())
    try:
        yield port
    finally:
        sweep.cancel()
        with suppress(asyncio.CancelledError):
            await sweep
        listener.close()
        lane.drain()
        async with asyncio.timeout(PATIENCE):
            await lane.closed()
        await server.shutdown(1.0)


@asynccontextmanager
async def data_port(service: ExchangeService | None = None, **options: Any) -> AsyncIterator[int]:
    """The number of a data port that is open until the end, as `open_data_port`."""
    async with open_data_port(service, **options) as port:
        yield port.port
