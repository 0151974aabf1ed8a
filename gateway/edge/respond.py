# SPDX-License-Identifier: Apache-2.0
"""Respond: an Answer as HTTP, the same header lines in the same order from both ways in.

Every value is checked here once more, whoever set it: nothing can end a line before its end.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gateway.edge.ids import fits
from gateway.exchange import JSON

if TYPE_CHECKING:
    from gateway.exchange import Answer, Exchange
    from gateway.wire.message import Trace

SERVER: Final = "infergate"
# A model file's SHA-256 to tell versions apart by; the whole of it is in the model's metadata.
_DIGEST_SIZE: Final = 16
_MAX_ID: Final = 256

REASON: Final = {status.value: status.phrase for status in HTTPStatus} | {
    499: "Client Closed Request"
}
_STATUS: Final = {status: f"HTTP/1.1 {status} {reason}\r\n" for status, reason in REASON.items()}
_JSON_LINE: Final = f"{JSON[0]}: {JSON[1]}\r\n"

# The percent form is twice as fast as any other.
_BRIEF_TIMING: Final = "cache;dur=%.3f, total;dur=%.3f"
_FULL_TIMING: Final = (
    "queue;dur=%.3f, preprocess;dur=%.3f, cache;dur=%.3f, infer;dur=%.3f, total;dur=%.3f"
)

_second = 0
_date = ""


def render(exchange: Exchange, answer: Answer, *, keep_alive: bool = True) -> bytes:
    """The complete HTTP/1.1 response to *exchange*; *keep_alive* leaves the connection open."""
    close = "" if keep_alive else "Connection: close\r\n"
    head = f"{_STATUS[answer.status]}{_lines(exchange, answer)}{close}\r\n"
    return head.encode("latin-1") + answer.body


def headers(exchange: Exchange, answer: Answer) -> list[tuple[str, str]]:
    """The same header lines as pairs, without ``Connection``."""
    return _pairs(_lines(exchange, answer))


def plain_headers(request_id: str, answer: Answer) -> list[tuple[str, str]]:
    """The header lines of an answer that is no inference."""
    error = f"Infergate-Error: {answer.error}\r\n" if answer.error else ""
    return _pairs(
        f"{_own_lines(answer)}X-Request-Id: {_checked(request_id)}\r\n{error}"
        f"Content-Length: {len(answer.body)}\r\n{_date_line(int(time.time()))}"
    )


def _lines(exchange: Exchange, answer: Answer) -> str:
    trace = exchange.trace
    request_id = _checked(exchange.request_id)
    if exchange.inference_id == exchange.request_id:
        inference = f"X-Inference-Id: {request_id}\r\n"
    else:
        inference = _inference_line(exchange.inference_id)
    cache = f"Cache-Status: {SERVER}; {_checked(trace.cache)}\r\n" if trace.cache else ""
    if trace.age is not None:
        cache += f"Age: {int(trace.age)}\r\n"
    own = answer.headers
    error = f"Infergate-Error: {answer.error}\r\n" if answer.error else ""
    now = int(time.time())
    return (
        f"{_JSON_LINE if len(own) == 1 and own[0] is JSON else _own_lines(answer)}"
        f"X-Request-Id: {request_id}\r\n{inference}{cache}"
        f"Server-Timing: {_timing(trace, perf_counter() - exchange.arrived)}\r\n"
        f"{_origin(trace.endpoint, trace.digest)}{error}"
        f"Content-Length: {len(answer.body)}\r\n{_date if now == _second else _date_line(now)}"
    )


@lru_cache(maxsize=1024)
def _origin(endpoint: str, digest: str) -> str:
    backend = f"Infergate-Backend: {_checked(endpoint)}\r\n" if endpoint else ""
    model = f"Infergate-Model-Digest: {_checked(digest[:_DIGEST_SIZE])}\r\n" if digest else ""
    return backend + model


def _own_lines(answer: Answer) -> str:
    return "".join([f"{_checked(name)}: {_checked(value)}\r\n" for name, value in answer.headers])


def _timing(trace: Trace, total: float) -> str:
    """The durations of a request in milliseconds; what took no time is left out."""
    if not trace.upstream:
        return "cache;dur=%.3f, total;dur=%.3f" % (trace.lookup * 1e3, total * 1e3)  # noqa: UP031
    infer = trace.infer or trace.upstream
    if not trace.preprocess and not trace.lookup:
        # Formatting numbers is a good part of this module's time, hence only those that there are.
        return "queue;dur=%.3f, infer;dur=%.3f, total;dur=%.3f" % (  # noqa: UP031 - twice as fast
            trace.queue * 1e3, infer * 1e3, total * 1e3
        )  # fmt: skip
    return "queue;dur=%.3f, preprocess;dur=%.3f, cache;dur=%.3f, infer;dur=%.3f, total;dur=%.3f" % (  # noqa: UP031 - twice as fast as the alternatives
        trace.queue * 1e3, trace.preprocess * 1e3, trace.lookup * 1e3, infer * 1e3, total * 1e3
    )  # fmt: skip


def _inference_line(id_: str) -> str:
    """A client's id as it is, percent-encoded where a header cannot carry it so.

    One that is too long for a header is left out: the client knows it, and the body has it.
    """
    if not id_:
        return ""
    if not fits(id_):
        id_ = quote(id_, safe="", errors="replace")
        if len(id_) > _MAX_ID:
            return ""
    return f"X-Inference-Id: {id_}\r\n"


def _checked(value: str) -> str:
    """*value*, with anything that is not printable ASCII replaced."""
    if value.isascii() and value.isprintable():
        return value
    return "".join([char if char.isascii() and char.isprintable() else "?" for char in value])


def _date_line(now: int) -> str:
    global _second, _date  # noqa: PLW0603 - the text of the running second
    if now != _second:
        # The text first: another thread that sees the new second must find its text.
        _date = f"Date: {formatdate(now, usegmt=True)}\r\nServer: {SERVER}\r\n"
        _second = now
    return _date


def _pairs(lines: str) -> list[tuple[str, str]]:
    return [
        (name, value)
        for line in lines.split("\r\n")[:-1]
        for name, _, value in (line.partition(": "),)
    ]
