# SPDX-License-Identifier: Apache-2.0
"""The aiohttp server of the data port: whatever is not plain enough for the fast lane.

It asks the same service and the same codecs as the fast lane, and answers the same bytes.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from aiohttp import HttpVersion10, HttpVersion11, http_parser, web
from aiohttp.http_exceptions import LineTooLong
from multidict import CIMultiDict

from gateway.edge.content_coding import answer_coding, deflate
from gateway.edge.ids import new_id, request_id
from gateway.edge.receive import receive
from gateway.edge.refusal import refusal
from gateway.edge.resources import Resources
from gateway.edge.respond import REASON, headers, plain_headers
from gateway.edge.routes import inference
from gateway.errors import GatewayError, InvalidRequest, MethodNotAllowed
from gateway.exchange import Answer, Exchange
from gateway.stages.cache_rules import cache_rules
from gateway.wire.message import NO_RULES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.edge.resources import Served
    from gateway.edge.routes import Route
    from gateway.exchange import ExchangeService

log = logging.getLogger(__name__)

_MAX_LINE: Final = 8190
_MAX_FIELDS: Final = 100
_READ_SIZE: Final = 256 << 10
# How long what is left of a refused body is read and dropped, so that the client sees why.
_LINGER: Final = 2.0


def make_server(
    service: ExchangeService,
    models: Mapping[str, Served],
    *,
    metrics: Callable[[], Awaitable[bytes]],
    max_body: int = 64 << 20,
    header_timeout: float = 10.0,
    body_timeout: float = 30.0,
    idle_timeout: float = 60.0,
    compress_above: int | None = None,
    draining: Callable[[], bool] = lambda: False,
    refused: Callable[[Exchange, Answer], None] | None = None,
) -> DataServer:
    """The server; call it for the protocol of a connection, new or handed over.

    *max_body* in bytes bounds a body as sent and as decompressed. A connection that has sent no
    head *header_timeout* seconds after it came here is closed. *compress_above*: answers of
    more bytes are compressed for clients that accept it; None compresses none, since on a fast
    network it costs more time than it saves. *refused* hears of inference calls that were answered
    without reaching *service*. Raises RuntimeError where aiohttp runs on its parser in Python,
    which is slower by far and less strict.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise RuntimeError("aiohttp's C parser is missing; install a build of aiohttp that has it")
    resources = Resources(models, metrics=metrics, max_body=max_body, draining=draining)
    front = _Front(
        service,
        resources,
        max_body=max_body,
        body_timeout=body_timeout,
        compress_above=compress_above,
        draining=draining,
        refused=refused,
    )
    server = DataServer(
        front.handle,
        handler_cancellation=True,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=idle_timeout,
        lingering_time=_LINGER,
        max_line_size=_MAX_LINE,
        max_field_size=_MAX_LINE,
        max_headers=_MAX_FIELDS,
        read_bufsize=_READ_SIZE,
    )
    server.header_timeout = header_timeout
    return server


class DataServer(web.Server):
    """aiohttp's server, whose connections answer errors in the protocols' own form."""

    header_timeout = 10.0

    def __call__(self) -> web.RequestHandler:
        """The protocol of one connection."""
        return _Connection(self, self.header_timeout, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ("_head_due", "_header_timeout")

    def __init__(
        self,
        server: DataServer,
        header_timeout: float,
        **options: Any,  # noqa: ANN401 - aiohttp's own, passed on
    ) -> None:
        super().__init__(server, **options)
        self._header_timeout = header_timeout
        self._head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Without the timer a first head may take as long as a pause between requests."""
        super().connection_made(transport)
        self._head_due = self._loop.call_later(self._header_timeout, self._end_without_head)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        if self._head_due is not None:
            self._head_due.cancel()

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
            return _goodbye(InvalidRequest(_malformed(exc, message)), new_id())
        id_ = new_id()
        log.error("internal error in request %s", id_, exc_info=exc)
        return _goodbye(GatewayError(f"internal error, see the log for {id_}"), id_)


class _Front:
    """Tells inference from all else, and turns both into answers."""

    def __init__(
        self,
        service: ExchangeService,
        resources: Resources,
        *,
        max_body: int,
        body_timeout: float,
        compress_above: int | None,
        draining: Callable[[], bool],
        refused: Callable[[Exchange, Answer], None] | None,
    ) -> None:
        self._service = service
        self._resources = resources
        self._max_body = max_body
        self._body_timeout = body_timeout
        self._compress_above = compress_above
        self._draining = draining
        self._refused = refused

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to *request*, whatever it asks for."""
        if request.version < HttpVersion10:
            # It has no headers to say how long a body or an answer is.
            return _goodbye(InvalidRequest("malformed HTTP request: no HTTP version"), new_id())
        if request.version > HttpVersion11:
            # The parser takes the text of a version that has no text.
            return _goodbye(InvalidRequest("malformed HTTP request: not HTTP/1.1"), new_id())
        target = _origin_form(request.raw_path)
        route = inference(target)
        if route is not None:
            response = await self._infer(request, route)
        else:
            response = await self._look_up(request, target)
        if self._draining():
            response.force_close()
        return response

    async def _infer(self, request: web.BaseRequest, route: Route) -> web.StreamResponse:
        exchange = _exchange(request, route)
        whole = True
        try:
            if request.method != "POST":
                raise MethodNotAllowed("Method Not Allowed", allow="POST")
            exchange.body = await receive(request, limit=self._max_body, timeout=self._body_timeout)
        except GatewayError as error:
            answer = route.codec.refuse(exchange, error)
            whole = request.content.is_eof()
            if self._refused is not None:
                self._refused(exchange, answer)
        else:
            answer = await self._service(exchange)
            await self._compress(request, answer)
        response = _response(answer, headers(exchange, answer))
        if not whole:
            response.force_close()
        return response

    async def _look_up(self, request: web.BaseRequest, target: bytes) -> web.StreamResponse:
        whole = True
        try:
            body = (
                b""
                if request.method in {"GET", "HEAD"}
                else await receive(request, limit=self._max_body, timeout=self._body_timeout)
            )
            path = target.partition(b"?")[0]
            answer = await self._resources.answer(request.method, path, body)
            await self._compress(request, answer)
        except GatewayError as error:
            answer = refusal(error)
            whole = request.content.is_eof()
        given = request_id(request.headers.get("X-Request-Id"))
        response = _response(answer, plain_headers(given, answer))
        if not whole:
            response.force_close()
        return response

    async def _compress(self, request: web.BaseRequest, answer: Answer) -> None:
        if self._compress_above is None or len(answer.body) <= self._compress_above:
            return
        # Caches on the way must not give this answer to a client that cannot read it.
        answer.headers.append(("Vary", "Accept-Encoding"))
        coding = answer_coding(",".join(request.headers.getall("Accept-Encoding", ())))
        if coding:
            answer.body = await asyncio.to_thread(deflate, answer.body, coding)
            answer.headers.append(("Content-Encoding", coding))


def _exchange(request: web.BaseRequest, route: Route) -> Exchange:
    fields: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        # Fields of one name are one list (RFC 9110, 5.3).
        fields[key] = f"{fields[key]}, {value}" if key in fields else value
    given = request_id(fields.get("x-request-id"))
    exchange = Exchange(
        route.codec,
        route.model,
        route.version,
        target=route.target,
        headers=fields,
        body=b"",
        request_id=given,
        client=request.remote or "",
        # A client may use one id for several tries, but each inference is one of its own.
        inference_id=new_id() if given is fields.get("x-request-id") else given,
    )
    control = fields.get("cache-control")
    exchange.rules = NO_RULES if control is None else cache_rules(control)
    return exchange


def _origin_form(target: str) -> bytes:
    """*target* without scheme and host, which a client may send as to a proxy."""
    if not target.startswith("/"):
        parts = urlsplit(target)
        if parts.scheme in {"http", "https"}:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return target.encode("utf-8", "surrogateescape")


def _malformed(error: BaseException | None, message: str | None) -> str:
    if isinstance(error, LineTooLong):
        # aiohttp's own words repeat the line, which may hold a secret.
        return f"malformed HTTP request: a line of the head is longer than {_MAX_LINE} bytes"
    first = (message or "").strip().partition("\n")[0].rstrip(":")
    return f"malformed HTTP request: {first or 'not HTTP'}"


def _goodbye(error: GatewayError, id_: str) -> web.Response:
    """The last answer of a connection."""
    answer = refusal(error)
    response = _response(answer, plain_headers(id_, answer))
    response.force_close()
    return response


def _response(answer: Answer, fields: list[tuple[str, str]]) -> web.Response:
    return web.Response(
        status=answer.status,
        reason=REASON[answer.status],
        body=answer.body,
        headers=CIMultiDict(fields),
    )
