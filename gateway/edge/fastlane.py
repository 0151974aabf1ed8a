# SPDX-License-Identifier: Apache-2.0
"""The fast lane: where connections of the data port start.

It takes plain inference requests only: HTTP/1.1, one Content-Length, nothing that needs a second
thought. At the first request that is anything else it hands the connection, with all bytes that
it has not used, to the aiohttp server's protocol, for good.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final, cast

from gateway.drive import Drive
from gateway.edge.head import MAX_HEAD, Head
from gateway.edge.ids import new_id
from gateway.edge.large_body import LargeBody
from gateway.edge.respond import render
from gateway.exchange import Exchange
from gateway.wire.message import NEVER

if TYPE_CHECKING:
    from gateway.edge.lane import Lane
    from gateway.errors import GatewayError
    from gateway.exchange import Answer
    from gateway.wire.tensor import Buffer

# A body above this is read straight into a buffer of its size, and copied never.
LARGE: Final = 64 << 10
# Bytes of later requests that a connection may send before the one in progress is answered.
_MAX_AHEAD: Final = 256 << 10


class FastLane(asyncio.Protocol):
    """One connection; requests are answered one after the other, in order."""

    __slots__ = (
        "_asked",
        "_awake",
        "_body",
        "_buffer",
        "_client",
        "_drive",
        "_exchange",
        "_fresh",
        "_gate",
        "_head",
        "_known",
        "_lane",
        "_paused",
        "_repeats",
        "_service",
        "_starting",
        "_transport",
        "awaits",
        "busy",
        "since",
        "unread_since",
    )  # fmt: skip

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._service = lane.service
        self._gate = lane.gate
        self._known = lane.heads.known
        self._repeats = lane.repeats.known
        self._awake = lane.busy_poll
        self._transport: asyncio.Transport
        self._buffer = b""
        self._head: Head | None = None
        self._body: LargeBody | None = None
        self._exchange: Exchange | None = None
        self._asked: Head
        self._drive: Drive[Answer] = Drive(self._done)
        self._starting = False
        self._client = ""
        # Nothing is buffered, under way or held back: what comes next is the start of a request.
        self._fresh = True
        self.busy = False
        self.awaits = "head"
        self.since = perf_counter()
        self._paused = False
        # Since when an answer waits for its client to read; NEVER while none does.
        self.unread_since = NEVER

    def __repr__(self) -> str:
        return f"<FastLane awaits={self.awaits} busy={self.busy} buffered={len(self._buffer)}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if peer else ""
        # One answer at most waits here for a client that does not read.
        self._transport.set_write_buffer_limits(high=0)
        lane = self._lane
        if len(lane.connections) + lane.others() >= lane.max_connections:
            self._transport.abort()
            lane.turned_away()
            return
        lane.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The client is gone: what is done for it has no reader any more."""
        self._lane.left(self)
        self._exchange = None  # an answer that comes in spite of it is not written
        if self.busy:
            self._drive.cancel()

    @property
    def quiet(self) -> bool:
        """No byte of a request waits to be answered."""
        return not self.busy and not self._buffer and self.awaits != "body"

    def data_received(self, data: bytes) -> None:
        """Bytes of the current request, or of one after it."""
        if self._fresh:
            if self._repeats and self._repeated(data):
                return
            # Nearly always a whole request, with a head that was read before.
            end = data.find(b"\r\n\r\n") + 4
            head = self._known.get(data[:end])
            if head is not None and len(data) == end + head.length:
                self._begin(head, data[end:])
                return
        self._fresh = False
        if self._buffer:
            data = self._buffer + data
        if self.busy or self._paused:
            self._buffer = data
            if len(data) > _MAX_AHEAD:
                self._transport.pause_reading()
            return
        self._consume(data)

    def _repeated(self, data: bytes) -> bool:
        """Answer what was answered from the cache before, if the answer is there still."""
        known = self._repeats.get(data)
        if known is None:
            return False
        gate = self._gate
        answer = None
        if not (gate.parting or gate.closed or gate.overload is not None):
            answer = known.answer()
        if answer is None:
            self._lane.repeats.forget(data)
            return False
        self._transport.write(answer)
        if self._awake is not None:
            self._awake()
        self.awaits = "idle"
        self.since = NEVER
        return True

    def _consume(self, data: bytes) -> None:
        """Answer the requests in *data* as long as their answers need no waiting."""
        while data:
            head = self._head
            if head is None:
                end = data.find(b"\r\n\r\n") + 4
                if end == 3:
                    if (
                        len(data) > MAX_HEAD
                        or not data.startswith(b"POST /"[: len(data)])
                        # A line that ends otherwise: the empty line may never come, or has already.
                        or data.count(b"\n") != data.count(b"\r\n")
                    ):
                        self._hand_over(data)
                    else:
                        self._await_more(data, "head")
                    return
                head = self._lane.heads.read(data[:end]) if end <= MAX_HEAD else None
                if head is None:
                    self._hand_over(data)
                    return
                if head.length > LARGE and self._gate.overload is not None:
                    # It would be received in vain; the other server reads no more of it.
                    self._hand_over(data)
                    return
                if len(data) == end + head.length:
                    self._buffer = b""
                    self._begin(head, data[end:])
                    data = b""
                    break
                data = data[end:]
                self._head = head
            if len(data) < head.length:
                if head.length > LARGE:
                    self._read_large(head, data)
                else:
                    self._await_more(data, "body")
                return
            self._head = None
            body, data = data[: head.length], data[head.length :]
            self._buffer = data
            self._begin(head, body)
            if self.busy or self._paused or self._transport.is_closing():
                break
        self._buffer = data
        if not self.busy and not data:
            self.awaits = "idle"

    def _await_more(self, data: bytes, what: str) -> None:
        self._buffer = data
        if self.awaits != what:
            self.awaits, self.since = what, perf_counter()

    def _read_large(self, head: Head, begun: bytes) -> None:
        self.awaits, self.since = "body", perf_counter()
        self._buffer = b""
        self._body = LargeBody(self, head, begun)
        self._transport.set_protocol(self._body)

    def large_received(self, head: Head, body: Buffer) -> None:
        """`LargeBody` is complete."""
        self._transport.set_protocol(self)
        self._body = None
        self._head = None
        self._begin(head, body)

    def _hand_over(self, data: bytes) -> None:
        """Make the aiohttp server's protocol the owner of the connection."""
        self._lane.left(self)
        self._buffer = b""
        other = self._lane.fallback()
        transport = self._transport
        transport.set_protocol(other)
        other.connection_made(transport)
        other.data_received(data)

    def _begin(self, head: Head, body: Buffer) -> None:
        self.busy = True
        self._fresh = False
        route = head.route
        id_ = new_id()
        self._asked = head
        self._exchange = exchange = Exchange(
            route.codec, route.model, route.version, head.target, head.headers, body,
            head.request_id or id_, perf_counter(), self._client, id_, NEVER, head.rules,
            head.repeatable,
        )  # fmt: skip
        if self._awake is not None:
            self._awake()
        self._starting = True
        self._drive.call(self._service, exchange)
        self._starting = False

    def _done(self, answer: Answer | None, error: BaseException | None) -> None:
        """The answer is there: write it, and go on with what has arrived meanwhile."""
        exchange, head = self._exchange, self._asked
        transport = self._transport
        self._exchange = None
        self.busy = False
        if answer is None or exchange is None:
            # Cancelled, because the client is gone; Rescue lets nothing else through.
            transport.abort()
            if error is not None and not isinstance(error, asyncio.CancelledError):
                raise error
            return
        keep = head.keep_alive and not self._gate.parting
        transport.write(render(exchange, answer, keep_alive=keep))
        if exchange.repeat is not None:
            self._lane.repeats.remember(head.raw + exchange.body, exchange, answer)
        if self._awake is not None:
            self._awake()
        if not keep:
            transport.close()
            return
        self.awaits = "idle"
        self.since = NEVER
        if self._buffer:
            if not self._starting and not self._paused:
                self._resume()
        else:
            self._fresh = not self._paused and self._head is None

    def _resume(self) -> None:
        data, self._buffer = self._buffer, b""
        if data:
            self._transport.resume_reading()
            self._consume(data)

    def pause_writing(self) -> None:
        """The client does not read: no further request is taken until it does."""
        self._paused = True
        self._fresh = False
        self.unread_since = perf_counter()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._paused = False
        self.unread_since = NEVER
        if not self.busy:
            self._resume()

    def eof_received(self) -> bool:
        """The client is gone.

        It may only have said that it sends no more, but nobody can tell that from its end, and a
        worker that computes for nobody is the worse mistake of the two.
        """
        if self.busy:
            self._drive.cancel()
        return False

    def refuse(self, error: GatewayError) -> None:
        """Answer the request that has begun to arrive with *error*; the caller closes."""
        head = self._head
        if head is None:
            return
        route = head.route
        exchange = Exchange(
            route.codec, route.model, route.version, head.target, head.headers, b"",
            head.request_id or new_id(), client=self._client,
        )  # fmt: skip
        answer = route.codec.refuse(exchange, error)
        self._transport.write(render(exchange, answer, keep_alive=False))
        if self._lane.refused is not None:
            self._lane.refused(exchange, answer)

    def give_up(self) -> None:
        """Close the connection without a word: nothing is in progress on it.

        What the client has not read yet is left to it, for as long as any other answer.
        """
        if not self._paused:
            self._lane.left(self)
        self._transport.close()

    def abort(self) -> None:
        """End the connection now; what the client has not read is dropped."""
        self._lane.left(self)
        self._transport.abort()

    def body_lost(self, exc: Exception | None) -> None:
        """The connection ended while `LargeBody` had it."""
        self.connection_lost(exc)
