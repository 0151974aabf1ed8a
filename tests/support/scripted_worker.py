# SPDX-License-Identifier: Apache-2.0
"""A scripted worker behind a real socket: it speaks frames, and a test says what."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any, Self

from gateway.upstream.link import Link
from gateway.wire.frames import (
    ErrorHead,
    Frame,
    FrameReader,
    Hello,
    InferHead,
    Kind,
    PongHead,
    ResultHead,
    frame,
    heads_of,
    read_head,
    read_tensors,
    tensor_frame,
)
from tests.support.upstream import MODEL

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from gateway.upstream.transport import Upcall
    from gateway.wire.tensor import Tensor


class Received:
    """An INFER frame: what was asked, and on which connection to answer."""

    def __init__(self, connection: Connection, received: Frame) -> None:
        self.connection = connection
        self.id = received.id
        self.head = read_head(received.head, InferHead)
        self.inputs = read_tensors(self.head.inputs, received.body)

    @property
    def budget(self) -> float:
        """Microseconds that the sender still had."""
        return self.head.budget

    def result(
        self, *outputs: Tensor, queue: int = 0, compute: int = 0, rows: int = 1, held: int = 0
    ) -> bytes:
        """The bytes of an answer; an echo without *outputs*. Times in microseconds."""
        tensors = outputs or self.inputs
        head = ResultHead(heads_of(tensors), queue, compute, held, rows)
        return b"".join(tensor_frame(Kind.RESULT, self.id, head, tensors))

    def respond(
        self, *outputs: Tensor, queue: int = 0, compute: int = 0, rows: int = 1, held: int = 0
    ) -> None:
        """Answer."""
        self.connection.send(
            self.result(*outputs, queue=queue, compute=compute, rows=rows, held=held)
        )

    def fail(self, code: str, message: str = "scripted") -> None:
        """Answer with an error."""
        self.connection.send(frame(Kind.ERROR, self.id, ErrorHead(code, message)))


class Connection:
    """One gateway's connection to the worker."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def send(self, data: bytes) -> None:
        """Put *data* on the wire."""
        self._writer.write(data)

    def abort(self) -> None:
        """Be gone, as after SIGKILL."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Be gone behind what has been sent."""
        self._writer.close()

    def half_close(self) -> None:
        """Send no more, and still listen."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Be gone with a reset, and with what had not been sent; on TCP only."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        self._writer.transport.abort()


class ScriptedWorker:
    """Listens on a Unix socket below *directory*, or on TCP without one.

    *greets*: it says hello as soon as it has accepted; *answers_probes*: and pong to every ping.
    """

    def __init__(
        self, directory: Path | None = None, *, greets: bool = True, answers_probes: bool = True
    ) -> None:
        self.greets = greets
        self.answers_probes = answers_probes
        self.instance = "1"
        self.model = MODEL
        self.requests: asyncio.Queue[Received] = asyncio.Queue()
        self.cancels: asyncio.Queue[int] = asyncio.Queue()
        self.pings: asyncio.Queue[int] = asyncio.Queue()
        self.connections: list[Connection] = []
        self.accepted: asyncio.Queue[Connection] = asyncio.Queue()
        self.left = asyncio.Event()
        self.address = ""
        self._directory = directory
        self._server: asyncio.Server
        self._serving: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<ScriptedWorker {self.address} {len(self.connections)} connections>"

    def transport(self, upcall: Upcall, **options: Any) -> Link:
        """A link to it, with *options* of its own."""
        return Link(self.address, upcall, **options)

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def listen(self) -> None:
        """Begin, or begin again at the same address."""
        if self._directory is not None:
            path = self._directory / "worker.sock"
            path.unlink(missing_ok=True)
            self.address = f"unix:{path}"
            self._server = await asyncio.start_unix_server(self._accept, path)
            return
        port = int(self.address.rpartition(":")[2]) if self.address else 0
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.address = f"tcp:127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        """Be gone, listener and connections."""
        self._server.close()
        for connection in self.connections:
            connection.abort()
        self.connections.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        connection = Connection(writer)
        self.connections.append(connection)
        if self.greets:
            connection.send(frame(Kind.HELLO, 0, Hello(self.instance, 1, self.model)))
        self.accepted.put_nowait(connection)
        frames = FrameReader()
        try:
            while data := await reader.read(65536):
                self._take(connection, frames, data)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
            self.left.set()
            self._serving.discard(task)

    def _take(self, connection: Connection, frames: FrameReader, data: bytes) -> None:
        while data:
            buffer = frames.get_buffer()
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            data = data[size:]
            for received in frames.buffer_updated(size):
                self._note(connection, received)

    def _note(self, connection: Connection, received: Frame) -> None:
        if received.kind is Kind.INFER:
            self.requests.put_nowait(Received(connection, received))
        elif received.kind is Kind.CANCEL:
            self.cancels.put_nowait(received.id)
        elif received.kind is Kind.PING:
            self.pings.put_nowait(received.id)
            if self.answers_probes:
                connection.send(frame(Kind.PONG, received.id, PongHead(0, 10)))
        else:
            raise AssertionError(f"a gateway does not send {received.kind.name}")
