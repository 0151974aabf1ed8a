# SPDX-License-Identifier: Apache-2.0
"""Connections of the aiohttp server: timed heads, and errors in the protocols' own form."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import InvalidURLError, LineTooLong
from multidict import CIMultiDict

from gateway.edge.framing import MAX_LINE, PLAIN_END, ends_surely
from gateway.edge.ids import new_id
from gateway.edge.refusal import refusal
from gateway.edge.respond import REASON, plain_headers
from gateway.errors import GatewayError, InvalidRequest

if TYPE_CHECKING:
    from gateway.exchange import Answer

log = logging.getLogger(__name__)


class DataServer(web.Server):
    """aiohttp's server, whose connections answer errors in the protocols' own form."""

    header_timeout = 10.0

    def __call__(self) -> web.RequestHandler:
        """The protocol of one connection."""
        return Connection(self, self.header_timeout, loop=self._loop, **self._kwargs)


class Connection(web.RequestHandler):
    """One connection, new or handed over by the fast lane."""

    __slots__ = ("_head_due", "_header_timeout", "_last")

    def __init__(
        self,
        server: DataServer,
        header_timeout: float,
        **options: Any,  # noqa: ANN401 - aiohttp's own, passed on
    ) -> None:
        super().__init__(server, **options)
        self._header_timeout = header_timeout
        self._head_due: asyncio.TimerHandle | None = None
        self._last = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Without the timer a first head may take as long as a pause between requests."""
        super().connection_made(transport)
        self._head_due = self._loop.call_later(self._header_timeout, self._end_without_head)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        if self._head_due is not None:
            self._head_due.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes of this request, or of those after it."""
        self._last = (self._last + data[-len(PLAIN_END) :])[-len(PLAIN_END) :]
        super().data_received(data)

    def is_at_end_of(self, request: web.BaseRequest) -> bool:
        """Whether another request may follow *request* here: nothing of it is left behind."""
        return ends_surely(request, self._last, more=bool(self._messages))

    def _end_without_head(self) -> None:
        if not self._request_count:
            self.force_close()

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
