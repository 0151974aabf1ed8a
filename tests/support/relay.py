# SPDX-License-Identifier: Apache-2.0
"""A relay before a real worker: it passes everything on but for the faults it is told to make.

What a scripted worker does to a gateway, it does in the name of a real one.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Self

from tests.support.faulty import NOISE

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Relay:
    """Listens on *address*, a free port, and connects to the worker's Unix socket *path*.

    Half a close, the end in the middle, and noise come with the next thing that the worker says.

    *connections* counts those that were made; each fault hits those that there are.
    """

    def __init__(self, path: Path) -> None:
        self.address = ""
        self.connections = 0
        self._path = path
        self._server: asyncio.Server
        self._open: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._spoil = ""

    def __repr__(self) -> str:
        return f"<Relay {self.address} {len(self._open)} open>"

    async def __aenter__(self) -> Self:
        self._flows.set()
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self.reset()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def listen(self) -> None:
        """Begin, or begin again on the same port."""
        port = int(self.address.rpartition(":")[2]) if self.address else 0
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.address = f"tcp:127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def refuse(self) -> None:
        """Listen no more, and end what there is."""
        self._server.close()
        self.reset()

    def reset(self) -> None:
        """End every connection with a reset."""
        for writer in self._open:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    def half_close(self) -> None:
        """Send nothing more to the gateway, and go on reading."""
        self._spoil = "half_close"

    def truncate(self) -> None:
        """End the connection in the middle of what the worker says next."""
        self._spoil = "truncate"

    def babble(self) -> None:
        """Put noise in the place of what the worker says next."""
        self._spoil = "babble"

    def stall(self) -> None:
        """Keep what the worker says until `flow`."""
        self._flows.clear()

    def flow(self) -> None:
        """Pass on again."""
        self._flows.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        self._open.add(writer)
        try:
            from_worker, to_worker = await asyncio.open_unix_connection(self._path)
            self.connections += 1
            # When the gateway hangs up, the worker does too, and so the answers end.
            up = asyncio.ensure_future(self._pass_on(reader, to_worker))
            try:
                await self._answer(from_worker, writer)
            finally:
                up.cancel()
                await asyncio.gather(up, return_exceptions=True)
                to_worker.close()
        except OSError:
            pass  # either side is gone, which is what this is for
        finally:
            self._open.discard(writer)
            writer.close()
            self._pumps.discard(task)

    @staticmethod
    async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._flows.wait()
            spoil, self._spoil = self._spoil, ""
            if spoil == "truncate":
                writer.write(data[:-3])
                return
            if spoil == "half_close":
                writer.write_eof()
                # The worker's further words are read and lost, until the gateway hangs up.
                while await reader.read(1 << 16):
                    pass
                return
            writer.write(NOISE if spoil == "babble" else data)
            await writer.drain()
