# SPDX-License-Identifier: Apache-2.0
"""Link: the transport to a worker of ours, frames over a Unix socket or TCP."""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from gateway.errors import (
    BadAnswer,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    Draining,
    FrameError,
    GatewayError,
    InvalidRequest,
    UpstreamError,
)
from gateway.promise import Promise
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
from gateway.wire.message import NEVER, InferRequest, InferResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.upstream.transport import Upcall

log = logging.getLogger(__name__)

_ALL: list[str] = []
# Bytes up to which a frame is put together to be written at once: to hand the loop each part of it
# takes longer than to copy a small one.
_JOINED = 32 << 10
# A worker that is being restarted comes back within a second: look often at first, then less.
RECONNECT_FIRST = 0.02
RECONNECT_MOST = 0.5
# A worker says hello as soon as it has accepted; one that does not is not a worker.
HELLO_TIMEOUT = 5.0

_WORKER_ERRORS: dict[str, type[GatewayError]] = {
    "invalid_request": InvalidRequest,
    "deadline_exceeded": DeadlineExceeded,
    "draining": Draining,
}


class Link:
    """Keeps one connection to the worker at *address* (``unix:PATH`` or ``tcp:HOST:PORT``).

    *reports* is told, with each answer, how many requests more the worker holds and how many rows
    the answer is of; None where nobody wants to know. *stranger* says what is wrong with a worker
    that has said what it serves, "" for nothing: one that is not the expected one gets no requests,
    and is looked at again from time to time.
    """

    def __init__(
        self,
        address: str,
        upcall: Upcall,
        *,
        connect_timeout: float = 1.0,
        reports: Callable[[Any, int, int], None] | None = None,
        stranger: Callable[[Any, Hello], str] | None = None,
    ) -> None:
        self.address = address
        self._stranger = stranger
        self._reports = reports
        self._upcall = upcall
        self._connect_timeout = connect_timeout
        self._wire: _Wire | None = None
        self._last_id = 0

    def __repr__(self) -> str:
        return f"<Link {self.address} {'up' if self._wire is not None else 'down'}>"

    def send(self, request: InferRequest) -> Promise[InferResponse]:
        """Put *request* on the connection; see Transport."""
        wire = self._open_wire()
        if wire is None:
            lost: Promise[InferResponse] = Promise(asyncio.get_running_loop())
            lost.fail(ConnectFailed(f"worker {self.address} is not connected"))
            return lost
        self._last_id = id_ = (self._last_id + 1) & 0xFFFFFFFF
        budget = 0
        if request.deadline != NEVER:
            budget = max(1, int((request.deadline - perf_counter()) * 1e6))
        names = [output.name for output in request.outputs] if request.outputs else _ALL
        head = InferHead(heads_of(request.inputs), names, budget)
        # The wire knows its loop; asking for the running one costs a getpid() in Python 3.11.
        promise: Promise[InferResponse] = Promise(wire.loop, wire.forget, id_)
        wire.pending[id_] = (promise, request)
        buffers = tensor_frame(Kind.INFER, id_, head, request.inputs)
        if request.inputs and len(request.inputs[0].data) > _JOINED:
            wire.transport.writelines(buffers)
        else:
            wire.transport.write(b"".join(buffers))
        return promise

    async def probe(self) -> float:
        """One inference of the worker's own warm-up input; seconds from ping to pong."""
        wire = self._open_wire()
        if wire is None:
            raise ConnectFailed(f"worker {self.address} is not connected")
        self._last_id = id_ = (self._last_id + 1) & 0xFFFFFFFF
        pong: asyncio.Future[PongHead] = asyncio.get_running_loop().create_future()
        started = perf_counter()
        wire.pings[id_] = pong
        try:
            wire.transport.write(frame(Kind.PING, id_))
            await pong
        finally:
            wire.pings.pop(id_, None)
        return perf_counter() - started

    def drop(self, reason: str) -> None:
        """Give the connection up; `run` makes a new one."""
        if self._wire is not None:
            self._wire.end(reason)

    async def run(self) -> None:
        """Connect, and connect again whenever the connection ends, until cancelled."""
        pause = RECONNECT_FIRST
        while True:
            try:
                wire = await self._connect()
            except (OSError, TimeoutError, FrameError) as error:
                log.debug("worker %s cannot be reached: %s", self.address, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, RECONNECT_MOST)
                continue
            try:
                await asyncio.shield(wire.closed)
            finally:
                # Cancelled: nobody is told that the worker went away, because it did not.
                self._wire = None
                wire.end("this gateway has no more use for it")
            pause = min(pause * 2, RECONNECT_MOST) if wire.strange else RECONNECT_FIRST
            await asyncio.sleep(pause)

    async def _connect(self) -> _Wire:
        loop = asyncio.get_running_loop()
        kind, _, rest = self.address.partition(":")

        def protocol() -> _Wire:
            return _Wire(self, loop) if self._reports is None else _ReportingWire(self, loop)

        async with asyncio.timeout(self._connect_timeout):
            if kind == "unix":
                _, wire = await loop.create_unix_connection(protocol, rest)
            else:
                host, _, port = rest.rpartition(":")
                _, wire = await loop.create_connection(protocol, host.strip("[]"), int(port))
        try:
            async with asyncio.timeout(HELLO_TIMEOUT):
                await asyncio.shield(wire.hello)
        except BaseException:
            wire.hello.cancel()
            wire.end("it did not say hello")
            raise
        return wire

    def _open_wire(self) -> _Wire | None:
        wire = self._wire
        if wire is not None and wire.transport.is_closing():
            # It broke while something was written, and the loop has not told yet.
            wire.end("the connection broke")
        return self._wire

    # What the wire tells, at once: a request that is tried again must not meet a dead connection.

    def greeted(self, wire: _Wire, hello: Hello) -> None:
        """The worker behind *wire* said who it is."""
        why = "" if self._stranger is None else self._stranger(self._upcall, hello)
        if why:
            wire.strange = True
            wire.end(why)
            return
        self._wire = wire
        self._upcall.came_up(hello.model, hello.instance)

    def drains(self) -> None:
        """The worker takes no more."""
        self._upcall.drains()

    def reported(self, held: int, rows: int) -> None:
        """The worker holds *held* requests behind an answer of *rows* rows."""
        if self._reports is not None:
            self._reports(self._upcall, held, rows)

    def ended(self, wire: _Wire) -> None:
        """*wire* is of no more use; what is in flight on it is about to be failed."""
        if self._wire is wire:
            self._wire = None
            self._upcall.went_down(wire.reason)


class _Wire(asyncio.BufferedProtocol):
    """One life of the connection: what is in flight on it, and how it ended."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._link = link
        self._address = link.address
        self._reader = FrameReader()
        self.get_buffer = self._reader.get_buffer  # type: ignore[method-assign]
        self.pending: dict[int, tuple[Promise[InferResponse], InferRequest]] = {}
        self.pings: dict[int, asyncio.Future[PongHead]] = {}
        self.hello: asyncio.Future[Hello] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.reason = ""
        self.strange = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for received in self._reader.buffer_updated(nbytes):
                self._take(received)
        except FrameError as error:
            self.end(f"protocol error: {error}")

    def eof_received(self) -> None:
        self.end("closed by the worker")

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(str(exc) if exc else "closed by the worker")

    def end(self, reason: str) -> None:
        """Close the connection now and fail what is in flight; a second call does nothing."""
        if self.closed.done():
            return
        self.reason = reason
        self.closed.set_result(None)
        self.transport.abort()
        # Whoever is failed below may try again at once, and must not come back here.
        self._link.ended(self)
        lost = ConnectionLost(f"worker {self._address} went away: {self.reason}")
        pending, self.pending = self.pending, {}
        for promise, _ in pending.values():
            promise.fail(ConnectionLost(lost.message))
        for pong in self.pings.values():
            if not pong.done():
                pong.set_exception(lost)
        if not self.hello.done():
            self.hello.set_exception(ConnectionRefusedError(lost.message))

    def forget(self, promise: Promise[InferResponse]) -> None:
        """Nobody waits for *promise* any more: say so to the worker."""
        if self.pending.pop(promise.id, None) is not None and not self.transport.is_closing():
            self.transport.write(frame(Kind.CANCEL, promise.id))

    def _take(self, received: Frame) -> None:
        kind = received.kind
        if kind is Kind.RESULT:
            self._result(received)
        elif kind is Kind.ERROR:
            self._error(received)
        elif kind is Kind.PONG:
            pong = self.pings.get(received.id)
            if pong is not None and not pong.done():
                pong.set_result(read_head(received.head, PongHead))
        elif kind is Kind.HELLO:
            if self.hello.done():
                raise FrameError("a second hello")
            hello = read_head(received.head, Hello)
            self.hello.set_result(hello)
            self._link.greeted(self, hello)
        elif kind is Kind.DRAIN:
            self._link.drains()
        else:
            raise FrameError(f"a worker does not send {kind.name}")

    def _result(self, received: Frame) -> None:
        head = read_head(received.head, ResultHead)
        entry = self.pending.pop(received.id, None)
        if entry is None:
            return  # cancelled while the answer was on its way
        promise, request = entry
        try:
            outputs = read_tensors(head.outputs, received.body)
        except FrameError as error:
            # Before whoever asked hears of it, and may ask again.
            self.end(f"protocol error: {error}")
            promise.fail(BadAnswer(f"worker {self._address}: {error}"))
            raise
        trace = request.trace
        trace.infer = head.compute / 1e6
        trace.queue += head.queue / 1e6
        trace.batch_rows = head.rows
        promise.answer(InferResponse(outputs))

    def _error(self, received: Frame) -> None:
        head = read_head(received.head, ErrorHead)
        entry = self.pending.pop(received.id, None)
        if entry is None:
            return
        known = _WORKER_ERRORS.get(head.code, UpstreamError)
        entry[0].fail(known(head.message))


class _ReportingWire(_Wire):
    """One that looks at the load which answers tell of; a class apart, as most have no need to."""

    def _result(self, received: Frame) -> None:
        head = read_head(received.head, ResultHead)
        self._link.reported(head.pending, head.rows)
        super()._result(received)
