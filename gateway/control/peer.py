# SPDX-License-Identifier: Apache-2.0
"""Peer: another process of this Infergate as the control process reaches it."""

from __future__ import annotations

import asyncio
import itertools
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.wire.orders import Inbox, Order, Reply, packed, reachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_PAUSE = 0.05


class PeerGone(Exception):
    """The process is not there, or went away before it answered."""


class Peer:
    """A connection to the process *name* at *path*, made again whenever it ends.

    *greet* is awaited at the start of each: what the process has to know before anything else.
    """

    def __init__(self, name: str, path: Path, *, greet: Callable[[Peer], Awaitable[None]]) -> None:
        self.name = name
        self._path = path
        self._greet = greet
        self._ids = itertools.count(1)
        self._writer: asyncio.StreamWriter | None = None
        self._up = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}

    def __repr__(self) -> str:
        return f"<Peer {self.name} {'up' if self._writer is not None else 'down'}>"

    async def came_up(self) -> None:
        """Wait until there is a connection."""
        await self._up.wait()

    async def ask(self, make: Callable[[int], Order]) -> tuple[str, ...]:
        """Send the order that *make* gives for an id; returns its faults. Raises PeerGone."""
        writer = self._writer
        if writer is None:
            raise PeerGone(f"{self.name} is not there")
        id_ = next(self._ids)
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[id_] = reply
        try:
            writer.write(packed(make(id_)))
            return (await reply).faults
        finally:
            self._waiting.pop(id_, None)

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        while True:
            with suppress(OSError):
                await self._serve(*await self._connect())
            await asyncio.sleep(_PAUSE)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.settimeout(0)
            with reachable(self._path) as name:
                await asyncio.get_running_loop().sock_connect(connected, name)
        except BaseException:
            connected.close()
            raise
        return await asyncio.open_unix_connection(sock=connected)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inbox = Inbox()
        self._writer = writer
        self._up.set()
        greeting = asyncio.ensure_future(self._greet(self))
        try:
            while data := await reader.read(1 << 16):
                for reply in inbox.replies(data):
                    waiting = self._waiting.get(reply.id)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(reply)
        except ValueError as error:
            raise ConnectionError(f"{self.name} answers nonsense: {error}") from error
        finally:
            self._writer = None
            self._up.clear()
            writer.close()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(PeerGone(f"{self.name} went away before it answered"))
            greeting.cancel()
            with suppress(asyncio.CancelledError, PeerGone):
                await greeting
