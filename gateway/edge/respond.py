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
from gateway.exchange import JSON, JSON_ALONE

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
# Milliseconds as text, by microseconds: formatting a number takes as long as finding an answer.
_BRIEF: Final = tuple(f"{each / 1e3:.3f}" for each in range(100))
_BRIEFLY: Final = 99e-6

# The text of the running second, and the instant of `time.perf_counter` at which it ends.
_date = ""
_date_until = 0.0


# What nearly every answer is: a success as JSON, made now by a worker, under one id of ours. The
# same lines as from `_lines`, made in one step.
_USUAL: Final = (
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: application/json\r\n"
    "X-Request-Id: %s\r\n"
    "X-Inference-Id: %s\r\n"
    "%sServer-Timing: queue;dur=%.3f, preprocess;dur=%.3f, infer;dur=%.3f, total;dur=%.3f\r\n"
    "%sContent-Length: %d\r\n%s\r\n"
)


def render(exchange: Exchange, answer: Answer, *, keep_alive: bool = True) -> bytes:
    """The complete HTTP/1.1 response to *exchange*; *keep_alive* leaves the connection open."""
    far = exchange.trace.far
    if far is not None and answer.headers is JSON_ALONE and keep_alive:
        id_ = exchange.request_id
        trace = exchange.trace
        preprocess = trace.preprocess + far.preprocess
        if id_ is exchange.inference_id and preprocess and not (trace.lookup or trace.postprocess):
            now = perf_counter()
            body = answer.body
            return (
                _USUAL
                % (
                    id_,
                    id_,
                    # Not looked up, or `_lines` has more to tell.
                    _cache_status(trace.cache) if trace.cache else "",
                    (trace.queue + far.queue) * 1e3,
                    preprocess * 1e3,
                    far.infer * 1e3,
                    (now - exchange.arrived) * 1e3,
                    _origin(far.endpoint, far.digest),
                    len(body),
                    _date if now < _date_until else _date_line(now),
                )
            ).encode("latin-1") + body
    close = "" if keep_alive else "Connection: close\r\n"
    head = f"{_STATUS[answer.status]}{_lines(exchange, answer)}{close}\r\n"
    return head.encode("latin-1") + answer.body


def fixed_lines(exchange: Exchange, answer: Answer) -> tuple[str, str]:
    """The lines of a cached answer that are the same each time, for `again`: lead and tail."""
    lead = f"{_STATUS[answer.status]}{_own_lines(answer)}"
    return lead, f"{_origin('', exchange.trace.digest)}Content-Length: {len(answer.body)}\r\n"


def aged_lines(left: float, age: float) -> str:
    """The lines that tell of a hit that is *age* seconds old, and fresh for *left* more."""
    return f"{_cache_status(f'hit; ttl={int(left)}')}Age: {int(age)}\r\n"


def again(lead: str, aged: str, tail: str, *, id_: str, lookup: float, now: float) -> bytes:
    """The head that `render` makes of a hit at the instant *now*, of lines that are known.

    *lookup* is what finding the answer took, in seconds, and all that it took.
    """
    took = _BRIEF[int(lookup * 1e6 + 0.5)] if lookup < _BRIEFLY else f"{lookup * 1e3:.3f}"
    date = _date if now < _date_until else _date_line(now)
    return (
        f"{lead}X-Request-Id: {id_}\r\nX-Inference-Id: {id_}\r\n{aged}"
        f"Server-Timing: cache;dur={took}, total;dur={took}\r\n{tail}{date}\r\n"
    ).encode("latin-1")


def headers(exchange: Exchange, answer: Answer) -> list[tuple[str, str]]:
    """The same header lines as pairs, without ``Connection``."""
    return _pairs(_lines(exchange, answer))


def plain_headers(request_id: str, answer: Answer) -> list[tuple[str, str]]:
    """The header lines of an answer that is no inference."""
    error = f"Infergate-Error: {answer.error}\r\n" if answer.error else ""
    return _pairs(
        f"{_own_lines(answer)}X-Request-Id: {_checked(request_id)}\r\n{error}"
        f"Content-Length: {len(answer.body)}\r\n{_date_line(perf_counter())}"
    )


def _lines(exchange: Exchange, answer: Answer) -> str:
    trace = exchange.trace
    far = trace.far or trace
    request_id = exchange.request_id
    if not (request_id.isascii() and request_id.isprintable()):
        request_id = _checked(request_id)
    if exchange.inference_id == exchange.request_id:
        inference = f"X-Inference-Id: {request_id}\r\n"
    else:
        inference = _inference_line(exchange.inference_id)
    cache = _cache_lines(trace) if trace.cache else ""
    own = answer.headers
    error = f"Infergate-Error: {answer.error}\r\n" if answer.error else ""
    now = perf_counter()
    return (
        f"{_JSON_LINE if len(own) == 1 and own[0] is JSON else _own_lines(answer)}"
        f"X-Request-Id: {request_id}\r\n{inference}{cache}"
        f"Server-Timing: {_timing(trace, far, now - exchange.arrived)}\r\n"
        f"{_origin(far.endpoint, far.digest or trace.digest)}{error}"
        f"Content-Length: {len(answer.body)}\r\n{_date if now < _date_until else _date_line(now)}"
    )


def _cache_lines(trace: Trace) -> str:
    status = _cache_status(trace.cache)
    return status if trace.age is None else f"{status}Age: {int(trace.age)}\r\n"


@lru_cache(maxsize=1024)
def _cache_status(text: str) -> str:
    return f"Cache-Status: {SERVER}; {_checked(text)}\r\n"


@lru_cache(maxsize=1024)
def _origin(endpoint: str, digest: str) -> str:
    backend = f"Infergate-Backend: {_checked(endpoint)}\r\n" if endpoint else ""
    model = f"Infergate-Model-Digest: {_checked(digest[:_DIGEST_SIZE])}\r\n" if digest else ""
    return backend + model


def _own_lines(answer: Answer) -> str:
    return "".join([f"{_checked(name)}: {_checked(value)}\r\n" for name, value in answer.headers])


def _timing(trace: Trace, far: Trace, total: float) -> str:
    """The durations of a request in milliseconds; what took no time is left out."""
    text = _parts(trace, far, total)
    if trace.postprocess:
        before, _, after = text.rpartition(", total")
        return f"{before}, postprocess;dur={trace.postprocess * 1e3:.3f}, total{after}"
    return text


def _parts(trace: Trace, far: Trace, total: float) -> str:
    # Formatting numbers is a good part of this module's time, hence only those that there are, and
    # the percent form, which is twice as fast as any other.
    upstream = far.upstream
    if not upstream:
        return "cache;dur=%.3f, total;dur=%.3f" % (trace.lookup * 1e3, total * 1e3)  # noqa: UP031
    queue, preprocess = trace.queue, trace.preprocess
    if far is not trace:
        queue += far.queue
        preprocess += far.preprocess
    infer = (far.infer or upstream) * 1e3
    if trace.lookup:
        return (
            "queue;dur=%.3f, preprocess;dur=%.3f, cache;dur=%.3f, infer;dur=%.3f, total;dur=%.3f"  # noqa: UP031
            % (queue * 1e3, preprocess * 1e3, trace.lookup * 1e3, infer, total * 1e3)
        )
    if preprocess:
        return "queue;dur=%.3f, preprocess;dur=%.3f, infer;dur=%.3f, total;dur=%.3f" % (  # noqa: UP031
            queue * 1e3, preprocess * 1e3, infer, total * 1e3
        )  # fmt: skip
    return "queue;dur=%.3f, infer;dur=%.3f, total;dur=%.3f" % (queue * 1e3, infer, total * 1e3)  # noqa: UP031


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


def _date_line(now: float) -> str:
    """The lines that end a head, for *now* and the rest of its second."""
    global _date, _date_until  # noqa: PLW0603 - the text of the running second
    wall = time.time()
    # The text first: another thread that sees the new second must find its text.
    _date = f"Date: {formatdate(int(wall), usegmt=True)}\r\nServer: {SERVER}\r\n"
    _date_until = now + 1 - wall % 1
    return _date


def _pairs(lines: str) -> list[tuple[str, str]]:
    return [
        (name, value)
        for line in lines.split("\r\n")[:-1]
        for name, _, value in (line.partition(": "),)
    ]
