# SPDX-License-Identifier: Apache-2.0
"""Server: frames in, jobs to the engine, answers out; ends on a signal with nothing lost."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Final

from backends.connection import Connection
from backends.engine import Engine
from gateway.wire.busy_poll import BusyPoll
from gateway.wire.frames import Hello, Kind, frame
from gateway.wire.model import ModelInfo

# How long peers get, once nothing is pending, to hear of the drain before they lose the connection.
LINGER: Final = 0.25
TERMINATED: Final = 128 + signal.SIGTERM


class Server:
    """Serves *engine* on *listener* until SIGTERM or SIGINT, then drains for at most *grace* s.

    *busy_poll* is for how many seconds it looks for more after each request.
    """

    def __init__(
        self,
        engine: Engine,
        info: ModelInfo,
        listener: socket.socket,
        *,
        grace: float = 30.0,
        busy_poll: float = 0.0,
    ) -> None:
        self._engine = engine
        self._listener = listener
        self._grace = grace
        self._busy_poll = busy_poll
        self._awake: BusyPoll | None = None
        self._name = info.name
        self._hello = frame(Kind.HELLO, 0, Hello(secrets.token_hex(8), os.getpid(), info))
        self._connections: set[Connection] = set()
        self._closed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Server {self._name} connections={len(self._connections)} {self._engine!r}>"

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until a signal ends it; *on_ready* is called once connections are accepted."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()

        def on_signal() -> None:
            if stop.is_set():
                os._exit(TERMINATED)  # asked twice: at once, whatever is under way
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        accept = (
            loop.create_unix_server if self._listener.family == socket.AF_UNIX
            else loop.create_server
        )  # fmt: skip
        if self._busy_poll:
            self._awake = BusyPoll(loop, self._busy_poll)
        server = await accept(self._connection, sock=self._listener)
        on_ready()
        await stop.wait()
        server.close()
        await self._drain(loop)

    async def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        idle = asyncio.Event()

        def on_idle() -> None:
            with suppress(RuntimeError):  # the loop has ended: the drain ran out of time
                loop.call_soon_threadsafe(idle.set)

        for connection in self._connections:
            connection.send([frame(Kind.DRAIN, 0)])
        self._engine.drain(on_idle)
        try:
            async with asyncio.timeout(self._grace):
                await idle.wait()
                for connection in list(self._connections):
                    await connection.flushed()
        except TimeoutError:
            self._say(f"{self._engine.pending} requests are unfinished after {self._grace:g} s")
        else:
            await self._all_closed()
        # What is still under way loses its connection, and with it its reason: it is stopped.
        for connection in list(self._connections):
            connection.close()
        await self._all_closed()

    async def _all_closed(self) -> None:
        """Wait for the peers to go, for LINGER at most."""
        if self._connections:
            self._closed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    await self._closed.wait()

    def _connection(self) -> Connection:
        return Connection(
            asyncio.get_running_loop(),
            self._engine,
            hello=self._hello,
            opened=self._connections.add,
            closed=self._forget,
            awake=self._awake,
            clock=perf_counter,
        )

    def _forget(self, connection: Connection, reason: str) -> None:
        self._connections.discard(connection)
        if reason:
            self._say(f"connection closed: {reason}")
        if not self._connections:
            self._closed.set()

    def _say(self, what: str) -> None:
        sys.stderr.write(f"infergate worker: {self._name}: {what}\n")
        sys.stderr.flush()
