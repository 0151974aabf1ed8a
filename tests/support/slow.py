# SPDX-License-Identifier: Apache-2.0
"""Slow clients: they send byte by byte, or do not read; and answers too large for the kernel."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.exchange import JSON_ALONE, Answer, Exchange
from tests.support.http import Client

# Between two bytes; a verdict never depends on it.
PACE = 0.02
# More than the kernel takes of an answer that nobody reads.
LARGE_ANSWER = 24 << 20


class Sender:
    """Sends *data* byte by byte, and the last one again and again, until the server has enough."""

    def __init__(self, client: Client, data: bytes) -> None:
        self._client = client
        self._data = data
        self.sent = 0
        self._task = asyncio.ensure_future(self._send())

    async def _send(self) -> None:
        try:
            while True:
                at = min(self.sent, len(self._data) - 1)
                await self._client.send(self._data[at : at + 1])
                self.sent += 1
                # The thing under test: a client that is slow, and nothing else.
                await asyncio.sleep(PACE)
        except ConnectionError:
            pass

    async def stop(self) -> None:
        """Send no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@asynccontextmanager
async def dribble(client: Client, data: bytes) -> AsyncIterator[Sender]:
    """Send *data* slowly meanwhile."""
    sender = Sender(client, data)
    try:
        yield sender
    finally:
        await sender.stop()


@asynccontextmanager
async def connect_without_reading(port: int) -> AsyncIterator[Client]:
    """A connection whose kernel buffer is small, and that reads only when asked to."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    # The reader stops taking bytes from the kernel when it has twice its limit.
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    client = Client(reader, writer)
    try:
        yield client
    finally:
        client.reset()


class Answering:
    """A service that answers with *size* bytes at once."""

    def __init__(self, size: int) -> None:
        self._body = b" " * size
        self.asked = 0

    async def __call__(self, exchange: Exchange, /) -> Answer:
        """Answer."""
        self.asked += 1
        return Answer(200, self._body, JSON_ALONE)
