# SPDX-License-Identifier: Apache-2.0
"""A raw HTTP client: it sends the bytes that a test wrote and reads one response at a time."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

# No test comes near this; it turns a hang into a failure with a place.
PATIENCE = 20.0


class Response:
    """A response as it came; header names are as the server wrote them."""

    def __init__(self, head: str, body: bytes) -> None:
        status_line, *lines = head.split("\r\n")
        self.version, status, self.reason = status_line.split(" ", 2)
        self.status = int(status)
        self.headers = [tuple(line.split(": ", 1)) for line in lines]
        self.body = body

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.headers} {self.body[:200]!r}>"

    @property
    def names(self) -> list[str]:
        """The header names in their order."""
        return [field[0] for field in self.headers]

    def header(self, name: str) -> str | None:
        """The value of the header *name*, None without one; it must not come twice."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) <= 1, f"{name} came {len(found)} times"
        return found[0] if found else None

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Put *data* on the wire."""
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self, *, head_only: bool = False) -> Response:
        """The next response; *head_only* for one to HEAD, whose length announces no body."""
        async with asyncio.timeout(PATIENCE):
            head = (await self._reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1")
            response = Response(head, b"")
            length = response.header("content-length")
            if length is not None and not head_only:
                response.body = await self._reader.readexactly(int(length))
            return response

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes | Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send one plain request and receive its response."""
        await self.send(request(method, target, body, headers))
        return await self.receive(head_only=method == "HEAD")

    async def everything(self) -> bytes:
        """All that comes until the server closes, or says that it will."""
        seen = b""
        while b"\r\nConnection: close\r\n" not in seen:
            more = await self._reader.read(1 << 16)
            if not more:
                break
            seen += more
        return seen

    async def closed(self) -> bool:
        """Wait for the server to close the connection; False if it sends more instead."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self._reader.read(1) == b""
            except ConnectionResetError:
                return True

    def end(self) -> None:
        """Send no more; what the server sends can still be read."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Go away at once, so that the server notices whatever it is doing."""
        sock = self._writer.get_extra_info("socket")
        # uvloop's transport forgets the socket when it has closed it.
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for *condition*, which no event tells of."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.002)


def request(
    method: str,
    target: str,
    body: bytes | Any = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a plain HTTP/1.1 request."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Host": "test", **(headers or {})}
    if body is not None and "Transfer-Encoding" not in fields:
        fields.setdefault("Content-Length", str(len(data)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + data


def chunked(*chunks: bytes) -> bytes:
    """A body in the chunked transfer coding."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


@asynccontextmanager
async def connect(port: int, host: str = "127.0.0.1") -> AsyncIterator[Client]:
    """A connection to *port*, closed in the end."""
    client = Client(*await asyncio.open_connection(host, port))
    try:
        yield client
    finally:
        client.reset()
