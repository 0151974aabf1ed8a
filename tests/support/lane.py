# SPDX-License-Identifier: Apache-2.0
"""A connection of the fast lane over a scripted transport, and a service that can hold answers."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.edge.lane import Lane
from gateway.exchange import Answer, Exchange
from tests.support.upstream import settle

if TYPE_CHECKING:
    from collections.abc import Iterator


class Wire(asyncio.Transport):
    """A transport without a socket; *limit* bytes of unread answers pause the writing."""

    def __init__(self, *, limit: int = 10**9) -> None:
        super().__init__({"peername": ("192.0.2.1", 5)})
        self.protocol: Any = None
        self.written = b""
        self.reading = True
        self.closing = False
        self.aborted = False
        self.limit = limit
        self.paused = False
        self.high: int | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it, and say so when it is too much, as a socket does: at once."""
        assert not self.closing, "written behind the end"
        self.written += bytes(data)
        if len(self.written) > self.limit and not self.paused:
            self.paused = True
            self.protocol.pause_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Note it."""
        self.high = high

    def read_all(self) -> None:
        """The client reads."""
        self.limit = 10**9
        if self.paused:
            self.paused = False
            self.protocol.resume_writing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who gets the bytes from now on."""
        self.protocol = protocol

    def is_closing(self) -> bool:
        """Whether this end was closed."""
        return self.closing

    def close(self) -> None:
        """Note it."""
        self.closing = True

    def abort(self) -> None:
        """Note it."""
        self.closing = self.aborted = True

    def is_reading(self) -> bool:
        """Whether the client's bytes are taken."""
        return self.reading

    def pause_reading(self) -> None:
        """Note it."""
        self.reading = False

    def resume_reading(self) -> None:
        """Note it."""
        self.reading = True


class Other(asyncio.Protocol):
    """The aiohttp server's place: it keeps what it gets."""

    def __init__(self) -> None:
        self.transport: asyncio.BaseTransport | None = None
        self.data = b""
        self.eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        assert not self.data
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self.data += data

    def eof_received(self) -> None:
        """Keep it."""
        self.eof = True


class Desk:
    """A service that echoes bodies: at once, or, while *holds*, when told to."""

    def __init__(self) -> None:
        self.holds = False
        self.held: list[asyncio.Future[None]] = []
        self.seen: list[Exchange] = []
        self.error: Exception | None = None

    async def __call__(self, exchange: Exchange) -> Answer:
        """Answer with the body, in angle brackets."""
        self.seen.append(exchange)
        if self.error is not None:
            raise self.error
        if self.holds:
            future = asyncio.get_running_loop().create_future()
            self.held.append(future)
            await future
        return Answer(200, b"<" + bytes(exchange.body) + b">", [("Content-Type", "text/plain")])

    def release(self) -> None:
        """Let the oldest held answer go."""
        self.held.pop(0).set_result(None)


class Scene:
    """One connection of a lane."""

    def __init__(self, *, limit: int = 10**9, **options: Any) -> None:
        self.desk = Desk()
        self.others: list[Other] = []
        self.lane = Lane(self.desk, fallback=self._fallback, **options)
        self.wire = Wire(limit=limit)
        self.connection = self.lane()
        self.wire.protocol = self.connection
        self.connection.connection_made(self.wire)

    def _fallback(self) -> Other:
        self.others.append(Other())
        return self.others[-1]

    def feed(self, data: bytes) -> None:
        """Bytes from the client, to whoever has the connection; paused ones are an error."""
        assert self.wire.reading, "a paused transport delivers nothing"
        while data:
            protocol = self.wire.protocol
            if isinstance(protocol, asyncio.BufferedProtocol):
                buffer = memoryview(cast("bytearray", protocol.get_buffer(-1)))
                size = min(len(buffer), len(data))
                buffer[:size] = data[:size]
                protocol.buffer_updated(size)
                data = data[size:]
            else:
                protocol.data_received(data)
                return

    def lose(self) -> None:
        """The connection is gone."""
        self.wire.closing = True
        self.wire.protocol.connection_lost(None)

    @property
    def answers(self) -> list[bytes]:
        """The bodies of all that was written."""
        return list(bodies(self.wire.written))


def bodies(written: bytes) -> Iterator[bytes]:
    """The bodies of a stream of responses."""
    while written:
        head, _, rest = written.partition(b"\r\n\r\n")
        found = re.search(rb"\r\nContent-Length: (\d+)", head)
        assert found is not None
        yield rest[: int(found[1])]
        written = rest[int(found[1]) :]


def post(body: bytes, *lines: str, target: str = "/v2/models/m/infer") -> bytes:
    """A plain request."""
    fields = "".join(f"{line}\r\n" for line in ("Host: a", f"Content-Length: {len(body)}", *lines))
    return f"POST {target} HTTP/1.1\r\n{fields}\r\n".encode() + body


LARGE = bytes(range(256)) * 300
NOT_PLAIN = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
BOTH_WAYS = pytest.mark.parametrize("holds", [False, True], ids=["at once", "later"])


async def finish(scene: Scene) -> None:
    """Release all that is held, until nothing is."""
    await settle()
    while scene.desk.held:
        scene.desk.release()
        await settle()
