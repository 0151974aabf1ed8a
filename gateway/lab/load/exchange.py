# SPDX-License-Identifier: Apache-2.0
"""Exchange: one HTTP/1.1 connection that carries one request at a time, and times it."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final, cast

import httptools

from gateway.lab.load.heads import UNKNOWN, MalformedHead, count, note, outcome, read_head
from gateway.lab.load.recorder import CODES

if TYPE_CHECKING:
    from gateway.lab.load.connections import Connections

# A longer head is none.
_LONGEST_HEAD: Final = 65_536
_MALFORMED: Final = CODES["malformed"]


class Exchange(asyncio.Protocol):
    """A connection of *pool*. Only the length of a body is read, never its content."""

    __slots__ = (
        "_body", "_head", "_keep", "_parser", "_payload", "_status", "_transport",
        "busy", "due", "pool", "sent", "taken",
    )  # fmt: skip

    def __init__(self, pool: Connections) -> None:
        self.pool = pool
        self.busy = False
        self.due = self.taken = self.sent = 0
        self._transport: asyncio.Transport | None = None
        self._payload = b""
        self._head = b""
        # Bytes of the body that are still to come, while a head has been read.
        self._body = 0
        self._status = 0
        self._keep = True
        self._parser: _Rest | None = None

    def __repr__(self) -> str:
        return f"<Exchange {'busy' if self.busy else 'free'}>"

    def prepare(self, due: int, taken: int, payload: bytes) -> None:
        """Take *payload* to be sent as soon as there is a connection, whose making counts."""
        self.due, self.taken, self._payload = due, taken, payload
        self.sent = perf_counter_ns()
        self.busy = True

    def send(self, due: int, taken: int, payload: bytes) -> None:
        """Send *payload* now; the connection is open and free."""
        self.due = due
        self.taken = taken
        self.busy = True
        if due >= self.pool.recorder.begin:
            self.pool.recorder.tally.bytes_sent += len(payload)
        self.sent = perf_counter_ns()
        self._transport.write(payload)  # type: ignore[union-attr] # it is open

    def abort(self) -> None:
        """Close the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        # uvloop's transports are not of asyncio's class.
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        # A write is tried at once, not at the end of the turn: it is then that it is timed.
        transport.set_write_buffer_limits(high=0)
        if self._payload:
            self.pool.recorder.tally.connects += 1
            if self.due >= self.pool.recorder.begin:
                self.pool.recorder.tally.bytes_sent += len(self._payload)
            transport.write(self._payload)
            self._payload = b""
        else:
            self.pool.joined(self)
            self.pool.made(self)

    def connection_lost(self, _: Exception | None) -> None:
        """The connection is gone."""
        if self.busy and self._parser is not None and self._parser.until_end:
            self._finish(perf_counter_ns(), keep=False)
        else:
            self.pool.lost(self)

    def data_received(self, data: bytes) -> None:
        """A part of an answer, most often the whole of it."""
        now = perf_counter_ns()
        tally = self.pool.recorder.tally
        if not self.busy:
            # Nobody asked for it: this connection cannot be trusted with a request.
            self.pool.lost(self)
            return
        if self.due >= self.pool.recorder.begin:
            tally.bytes_received += len(data)
        if self._parser is not None:
            self._feed(data, now)
        elif self._body:
            self._body -= len(data)
            self._took(now)
        else:
            self._begin(data, now)

    def _begin(self, data: bytes, now: int) -> None:
        """The head, or a part of it, and what comes behind it."""
        if self._head:
            data = self._head + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._head = data
            if len(data) > _LONGEST_HEAD:
                self._malformed(now)
            return
        self._head = b""
        head = data[: end + 2]
        lower = head.lower()
        try:
            self._status, length, self._keep = read_head(lower)
        except MalformedHead:
            self._malformed(now)
            return
        if self._status < 200 or length == UNKNOWN:
            self._parser = _Rest(self)
            self._feed(data, now)
            return
        if self.due >= self.pool.recorder.begin:
            note(head, lower, self.pool.recorder.tally)
        self._body = end + 4 + length - len(data)
        self._took(now)

    def _took(self, now: int) -> None:
        if self._body == 0:
            self._finish(now, keep=self._keep)
        elif self._body < 0:
            self._malformed(now)

    def _feed(self, data: bytes, now: int) -> None:
        """Let a whole parser read what is not of the plain kind."""
        parser = self._parser
        assert parser is not None  # noqa: S101 - for mypy
        try:
            parser.feed(data)
        except httptools.HttpParserError:
            self._malformed(now)
            return
        if parser.complete:
            self._finish(now, keep=parser.keep)

    def _finish(self, now: int, *, keep: bool) -> None:
        self.busy = False
        self._parser = None
        self._body = 0
        status = self._status
        recorder = self.pool.recorder
        if self.due >= recorder.begin:
            count(recorder.tally.statuses, str(status))
        self.pool.done(self, now, outcome(status), keep=keep)

    def _malformed(self, now: int) -> None:
        self.busy = False
        self.pool.done(self, now, _MALFORMED, keep=False)

    def answered(self, status: int, head: bytes) -> None:
        """What the whole parser found."""
        self._status = status
        if self.due >= self.pool.recorder.begin:
            note(head, head.lower(), self.pool.recorder.tally)


class _Rest:
    """httptools for answers in chunks, with 1xx before them, or until the connection ends."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._parser = httptools.HttpResponseParser(self)
        self._lines: list[bytes] = []
        self.complete = False
        self.keep = True
        self.until_end = False

    def feed(self, data: bytes) -> None:
        """More of the answer; raises HttpParserError."""
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Httptools' callback."""
        self._lines.append(name + b": " + value)

    def on_headers_complete(self) -> None:
        """Httptools' callback."""
        status = self._parser.get_status_code()
        head = b"\r\n".join([b"", *self._lines, b""])
        self._lines.clear()
        if status >= 200:
            lower = head.lower()
            self.until_end = b"\r\ncontent-length:" not in lower and b"chunked" not in lower
            self._exchange.answered(status, head)

    def on_message_complete(self) -> None:
        """Httptools' callback."""
        # A 1xx ends too, without being the answer.
        if self._parser.get_status_code() >= 200:
            self.complete = True
            self.keep = self._parser.should_keep_alive()
