# SPDX-License-Identifier: Apache-2.0
"""Connection: one gateway's frames; read on the event loop, written from any thread.

Reading goes through the loop's transport. Writing does not: whichever thread has an answer sends
it straight to the socket, and only what the kernel does not take at once is left to the loop.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from threading import Lock
from time import perf_counter
from typing import Final, cast

from backends.engine import Engine, Job
from gateway.errors import FrameError
from gateway.wire.frames import Frame, FrameReader, Kind
from gateway.wire.tensor import Buffer

# Unsent bytes above which a peer is not read any further: it asks, but does not take the answers.
MAX_BACKLOG: Final = 64 << 20
# Buffers in one system call; the kernel takes at most 1024.
MAX_BUFFERS: Final = 512


class Connection(asyncio.BufferedProtocol):
    """One peer; *opened* and *closed* are called on the loop, the latter with a reason or "".

    *awake* is called whenever something has come.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        engine: Engine,
        *,
        hello: bytes,
        opened: Callable[[Connection], None],
        closed: Callable[[Connection, str], None],
        awake: Callable[[], None] | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._loop = loop
        self._engine = engine
        self._hello = hello
        self._opened = opened
        self._closed = closed
        self._awake = awake
        self._clock = clock
        self._reader = FrameReader()
        self._jobs: dict[int, Job] = {}
        self._reason = ""
        self._transport: asyncio.Transport | None = None
        # Guards the socket and its backlog. The socket is a duplicate: a compute thread may hold
        # it when the loop closes the transport, and must not write to a number used anew.
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._backlog: deque[Buffer] = deque()
        self.backlog = 0
        self._emptied = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Connection jobs={len(self._jobs)} backlog={self.backlog} {self._reason!r}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self._transport = cast("asyncio.Transport", transport)
        fileno = transport.get_extra_info("socket").fileno()
        self._socket = socket.socket(fileno=os.dup(fileno))
        self._opened(self)
        self.send([self._hello])

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes belong."""
        return self._reader.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """Take the frames that *nbytes* new bytes complete."""
        if self._awake is not None:
            self._awake()
        try:
            for received in self._reader.buffer_updated(nbytes):
                self._take(received)
        except FrameError as error:
            self._abort(error)

    def eof_received(self) -> None:
        """Close: a peer that asks no more does not wait for answers either."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Drop what nobody waits for any more."""
        with self._lock:
            out, self._socket = self._socket, None
            self._backlog.clear()
            self.backlog = 0
            if out is not None:
                self._loop.remove_writer(out.fileno())
                out.close()
        self._emptied.set()
        for job in list(self._jobs.values()):
            self._engine.cancel(job)
        self._jobs.clear()
        self._closed(self, self._reason)

    def close(self) -> None:
        """End the connection; what the kernel has taken is still delivered."""
        if self._transport is not None:
            self._transport.close()

    def answer(self, id: int, buffers: list[Buffer]) -> None:  # noqa: A002 - as in the frame
        """Send the one answer to *id*; from any thread."""
        self._jobs.pop(id, None)
        self.send(buffers)

    def break_off(self, error: FrameError) -> None:
        """End the connection for *error*; from any thread."""
        self._loop.call_soon_threadsafe(self._abort, error)

    def send(self, buffers: list[Buffer]) -> None:
        """Send *buffers* now, or as soon as the peer takes them; from any thread."""
        with self._lock:
            if self._socket is None:
                return  # the peer has gone
            if self._backlog:
                self._keep(buffers, 0)
                return
            sent = _send(self._socket, buffers)
            if not self._keep(buffers, sent):
                return
        self._loop.call_soon_threadsafe(self._write_later)

    async def flushed(self) -> None:
        """Wait until the peer has taken everything, or is gone."""
        while self.backlog:
            self._emptied.clear()
            await self._emptied.wait()

    def _keep(self, buffers: list[Buffer], sent: int) -> bool:
        """Put what is behind *sent* bytes into the backlog; False if there is nothing."""
        for buffer in buffers:
            size = len(buffer)
            if sent < size:
                self._backlog.append(memoryview(buffer)[sent:])
                self.backlog += size - sent
                sent = 0
            else:
                sent -= size
        return bool(self._backlog)

    def _write_later(self) -> None:
        with self._lock:
            if self._socket is None or not self._backlog:
                return
            self._loop.add_writer(self._socket.fileno(), self._flush)
            stop_reading = self.backlog > MAX_BACKLOG
        if stop_reading and self._transport is not None:
            self._transport.pause_reading()

    def _flush(self) -> None:
        with self._lock:
            if self._socket is None:
                return
            while self._backlog:
                batch = [self._backlog[i] for i in range(min(len(self._backlog), MAX_BUFFERS))]
                sent = _send(self._socket, batch)
                if not sent:
                    return
                self._drop(sent)
            self._loop.remove_writer(self._socket.fileno())
        self._emptied.set()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _drop(self, sent: int) -> None:
        self.backlog -= sent
        while sent:
            first = self._backlog.popleft()
            if sent < len(first):
                self._backlog.appendleft(memoryview(first)[sent:])
                return
            sent -= len(first)

    def _take(self, received: Frame) -> None:
        kind = received.kind
        if kind is Kind.INFER:
            if received.id in self._jobs:
                raise FrameError(f"id {received.id} is in use")
            job = Job(self, received.id, received.head, received.body, self._clock())
            self._jobs[received.id] = job
            self._engine.submit(job)
        elif kind is Kind.CANCEL:
            cancelled = self._jobs.get(received.id)
            if cancelled is not None:
                self._engine.cancel(cancelled)
        elif kind is Kind.PING:
            self._engine.ping(self, received.id)
        else:
            raise FrameError(f"a gateway does not send {kind.name}")

    def _abort(self, error: FrameError) -> None:
        self._reason = self._reason or str(error)
        if self._transport is not None:
            self._transport.abort()


def _send(out: socket.socket, buffers: list[Buffer]) -> int:
    """Bytes that the kernel took; all of them where the peer has gone, which the loop will see."""
    try:
        return out.sendmsg(buffers[:MAX_BUFFERS])
    except (BlockingIOError, InterruptedError):
        return 0
    except OSError:
        return sum(map(len, buffers))
