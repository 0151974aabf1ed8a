# SPDX-License-Identifier: Apache-2.0
"""Connections of the aiohttp server: timed heads and answers, errors in the protocols' form."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.http_exceptions import InvalidURLError, LineTooLong
from multidict import CIMultiDict

from gateway.edge.framing import MAX_LINE, PLAIN_END, ends_surely
from gateway.edge.ids import new_id
from gateway.edge.refusal import refusal
from gateway.edge.respond import REASON, plain_headers
from gateway.errors import GatewayError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.exchange import Answer

log = logging.getLogger(__name__)


class DataServer(web.Server):
    """aiohttp's server, whose connections answer errors in the protocols' own form."""

    header_timeout = 10.0
    answer_timeout = 30.0

    # Hears what a client took too long with.
    slow: Callable[[str], None] = staticmethod(lambda _: None)

    def __call__(self) -> web.RequestHandler:
        """The protocol of one connection."""
        return Connection(self, loop=self._loop, **self._kwargs)


class Connection(web.RequestHandler):
    """One connection, new or handed over by the fast lane."""

    __slots__ = ("_head_due", "_last", "_line", "_server", "_unread_due")

    def __init__(
        self,
        server: DataServer,
        **options: Any,  # noqa: ANN401 - aiohttp's own, passed on
    ) -> None:
        super().__init__(server, **options)
        self._server = server
        self._line: asyncio.Transport | None = None
        self._head_due: asyncio.TimerHandle | None = None
        self._unread_due: asyncio.TimerHandle | None = None
        self._last = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Time the first head, and let one answer at most wait for a client that does not read."""
        super().connection_made(transport)
        self._line = cast("asyncio.Transport", transport)
        self._line.set_write_buffer_limits(high=0)
        self._time_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self._line = None
        for timer in (self._head_due, self._unread_due):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes of this request, or of those after it."""
        self._last = (self._last + data[-len(PLAIN_END) :])[-len(PLAIN_END) :]
        before = self._request_count
        super().data_received(data)
        if self._request_count > before:
            if self._head_due is not None:
                self._head_due.cancel()
                self._head_due = None
        elif data and self._head_due is None and self._waiter is not None:
            # aiohttp gives a head that has begun as long as a pause between requests.
            self._time_head()

    def pause_writing(self) -> None:
        """The client does not take its answer as fast as it is given."""
        super().pause_writing()
        self._unread_due = self._loop.call_later(self._server.answer_timeout, self._end_unread)

    def resume_writing(self) -> None:
        """The client has taken all."""
        super().resume_writing()
        if self._unread_due is not None:
            self._unread_due.cancel()

    def _time_head(self) -> None:
        timeout = self._server.header_timeout
        self._head_due = self._loop.call_later(timeout, self._end_without_head)

    def _end_without_head(self) -> None:
        self._head_due = None
        self._server.slow("head")
        self.force_close()

    def _end_unread(self) -> None:
        self._server.slow("answer")
        if self._line is not None:
            # Not closed, which would wait for what is not read.
            self._line.abort()

    def is_at_end_of(self, request: web.BaseRequest) -> bool:
        """Whether another request may follow *request* here: nothing of it is left behind."""
        return ends_surely(request, self._last, more=bool(self._messages))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, and what our own code did not foresee."""
        if request.writer.output_size > 0:
            # A second answer on top of the first would be read as its rest.
            raise ConnectionError("an answer has begun already")
        if status < 500:
            log.debug("malformed request from %s: %s", request.remote, message)
            return goodbye(InvalidRequest(_malformed(exc, message)), new_id())
        id_ = new_id()
        log.error("internal error in request %s", id_, exc_info=exc)
        return goodbye(GatewayError(f"internal error, see the log for {id_}"), id_)


def goodbye(error: GatewayError, id_: str) -> web.Response:
    """The last answer of a connection."""
    answer = refusal(error)
    response = response_of(answer, plain_headers(id_, answer))
    response.force_close()
    return response


def response_of(answer: Answer, fields: list[tuple[str, str]]) -> web.Response:
    """*answer* for aiohttp, with the header lines *fields*."""
    return web.Response(
        status=answer.status,
        reason=REASON[answer.status],
        body=answer.body,
        headers=CIMultiDict(fields),
    )


def _malformed(error: BaseException | None, message: str | None) -> str:
    if isinstance(error, LineTooLong):
        # aiohttp's own words repeat the line, which may hold a secret.
        return f"malformed HTTP request: a line of the head is longer than {MAX_LINE} bytes"
    if isinstance(error, InvalidURLError):
        return "malformed HTTP request: the target is neither a path nor an http URL"
    first = (message or "").strip().partition("\n")[0].rstrip(":")
    return f"malformed HTTP request: {first or 'not HTTP'}"
