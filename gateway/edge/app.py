# SPDX-License-Identifier: Apache-2.0
"""The aiohttp server of the data port: whatever is not plain enough for the fast lane.

It asks the same service and the same codecs as the fast lane, and answers the same bytes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from aiohttp import http_parser

from gateway.edge.connection import DataServer, goodbye, response_of
from gateway.edge.content_coding import answer_coding, deflate
from gateway.edge.fastlane import LARGE
from gateway.edge.framing import MAX_LINE, check_framing
from gateway.edge.ids import new_id, request_id
from gateway.edge.labels import is_labels
from gateway.edge.receive import receive
from gateway.edge.refusal import refusal
from gateway.edge.resources import Resources
from gateway.edge.respond import headers, plain_headers
from gateway.edge.routes import inference
from gateway.edge.routes import preview as preview_route
from gateway.edge.upload import codec_for
from gateway.errors import ClientError, GatewayError, MethodNotAllowed, RequestTimeout
from gateway.exchange import Exchange
from gateway.stages.cache_rules import cache_rules
from gateway.stages.gate import Gate
from gateway.stages.infer import LONGEST_TENANT
from gateway.wire.message import NO_RULES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web

    from gateway.edge.connection import Connection
    from gateway.edge.labels import Labels
    from gateway.edge.resources import Served
    from gateway.edge.routes import Route
    from gateway.exchange import Answer, ExchangeService
    from gateway.wire.tensor import Buffer

_MAX_FIELDS: Final = 100
_READ_SIZE: Final = 256 << 10
# How long what is left of a refused body is read and dropped, so that the client sees why.
_LINGER: Final = 2.0


def make_server(
    service: ExchangeService,
    models: Mapping[str, Served],
    *,
    metrics: Callable[[], Awaitable[bytes]],
    preview: ExchangeService | None = None,
    max_body: int = 64 << 20,
    header_timeout: float = 10.0,
    body_timeout: float = 30.0,
    answer_timeout: float = 30.0,
    idle_timeout: float = 60.0,
    compress_above: int | None = None,
    gate: Gate | None = None,
    labels: Labels | None = None,
    tenant_header: str | None = None,
    refused: Callable[[Exchange, Answer], None] | None = None,
    slow: Callable[[str], None] = lambda _: None,
) -> DataServer:
    """The server; call it for the protocol of a connection, new or handed over.

    *preview* answers with the tensors that would reach a model. *max_body* in bytes bounds a body
    as sent and as decompressed. A connection is closed whose head does not arrive within
    *header_timeout* seconds after it came here or began to send one, or whose client does not take
    an answer within *answer_timeout*. *compress_above*: answers of more bytes are compressed for
    clients that accept it; None compresses none, since on a fast network it costs more time than it
    saves. *labels* is where labels of clients go, under the tenant that *tenant_header* says.
    *gate* says when to part with clients and when to read no more bodies. *refused* hears of
    inference calls that were answered without reaching *service*, *slow* of each client that took
    too long, as in `Lane`. Raises RuntimeError where aiohttp runs on its parser in Python, which is
    slower by far and less strict.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise RuntimeError("aiohttp's C parser is missing; install a build of aiohttp that has it")
    gate = gate or Gate()
    resources = Resources(
        models, metrics=metrics, max_body=max_body, draining=lambda: gate.draining
    )
    front = _Front(
        service,
        resources,
        preview=preview,
        max_body=max_body,
        body_timeout=body_timeout,
        compress_above=compress_above,
        gate=gate,
        labels=labels,
        tenant_header=tenant_header or "",
        refused=refused,
        slow=slow,
    )
    server = DataServer(
        front.handle,
        handler_cancellation=True,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=idle_timeout,
        lingering_time=_LINGER,
        max_line_size=MAX_LINE,
        max_field_size=MAX_LINE,
        max_headers=_MAX_FIELDS,
        read_bufsize=_READ_SIZE,
    )
    server.header_timeout = header_timeout
    server.answer_timeout = answer_timeout
    server.slow = slow
    return server


class _Front:
    """Tells inference from all else, and turns both into answers."""

    def __init__(
        self,
        service: ExchangeService,
        resources: Resources,
        *,
        preview: ExchangeService | None,
        max_body: int,
        body_timeout: float,
        compress_above: int | None,
        gate: Gate,
        labels: Labels | None,
        tenant_header: str,
        refused: Callable[[Exchange, Answer], None] | None,
        slow: Callable[[str], None],
    ) -> None:
        self._service = service
        self._resources = resources
        self._preview = preview
        self._max_body = max_body
        self._body_timeout = body_timeout
        self._compress_above = compress_above
        self._gate = gate
        self._labels = labels
        self._tenant_header = tenant_header
        self._refused = refused
        self._slow = slow

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to *request*, whatever it asks for."""
        try:
            check_framing(request)
        except ClientError as error:
            return goodbye(error, new_id())
        target = _origin_form(request.raw_path)
        route = inference(target)
        if route is not None:
            response = await self._infer(request, route, self._service)
        elif self._preview is not None and (route := preview_route(target)) is not None:
            response = await self._infer(request, route, self._preview)
        else:
            response = await self._look_up(request, target)
        connection = cast("Connection", request.protocol)
        if self._gate.parting or not connection.is_at_end_of(request):
            response.force_close()
        return response

    async def _infer(
        self, request: web.BaseRequest, route: Route, service: ExchangeService
    ) -> web.StreamResponse:
        exchange = _exchange(request, route)
        whole = True
        try:
            if request.method != "POST":
                raise MethodNotAllowed("Method Not Allowed", allow="POST")
            overload = self._gate.overload
            if overload is not None and (request.content_length or LARGE + 1) > LARGE:
                # Admission would refuse it too, but only once it is here.
                raise overload.refusal(exchange.model)
            exchange.body = await receive(request, limit=self._max_body, timeout=self._body_timeout)
        except GatewayError as error:
            if isinstance(error, RequestTimeout):
                self._slow("body")
            answer = route.codec.refuse(exchange, error)
            whole = request.content.is_eof()
            if self._refused is not None:
                self._refused(exchange, answer)
        else:
            answer = await service(exchange)
            await self._compress(request, answer)
        response = response_of(answer, headers(exchange, answer))
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
            if self._labels is not None and is_labels(target):
                answer = await self._label(self._labels, request, target, body)
            else:
                path = target.partition(b"?")[0]
                answer = await self._resources.answer(request.method, path, body)
            await self._compress(request, answer)
        except GatewayError as error:
            answer = refusal(error)
            whole = request.content.is_eof()
        given = request_id(request.headers.get("X-Request-Id"))
        response = response_of(answer, plain_headers(given, answer))
        if not whole:
            response.force_close()
        return response

    async def _label(
        self, labels: Labels, request: web.BaseRequest, target: bytes, body: Buffer
    ) -> Answer:
        if request.method != "POST":
            raise MethodNotAllowed("Method Not Allowed", allow="POST")
        fields = request.headers
        given = fields.getall(self._tenant_header, ()) if self._tenant_header else ()
        tenant = ", ".join(given)
        return await labels.answer(
            target, fields.get("Content-Type", ""), tenant[:LONGEST_TENANT], body
        )

    async def _compress(self, request: web.BaseRequest, answer: Answer) -> None:
        if self._compress_above is None or len(answer.body) <= self._compress_above:
            return
        # Caches on the way must not give this answer to a client that cannot read it.
        answer.headers = [*answer.headers, ("Vary", "Accept-Encoding")]
        coding = answer_coding(",".join(request.headers.getall("Accept-Encoding", ())))
        if coding:
            answer.body = await asyncio.to_thread(deflate, answer.body, coding)
            answer.headers = [*answer.headers, ("Content-Encoding", coding)]


def _exchange(request: web.BaseRequest, route: Route) -> Exchange:
    fields: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        # Fields of one name are one list (RFC 9110, 5.3).
        fields[key] = f"{fields[key]}, {value}" if key in fields else value
    given = request_id(fields.get("x-request-id"))
    exchange = Exchange(
        codec_for(route.codec, fields),
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
