# SPDX-License-Identifier: Apache-2.0
"""Head: the head of a plain inference request, as llhttp reads it, remembered by its bytes.

The fast lane takes a head only if it wholly understands it. There is no second parser here:
llhttp (httptools) reads the head, and a head with the very same bytes is not read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httptools

from gateway.edge.framing import MAX_LINE, is_host
from gateway.edge.ids import fits
from gateway.edge.routes import match
from gateway.edge.upload import is_upload
from gateway.stages.cache_rules import cache_rules
from gateway.wire.message import NO_RULES

if TYPE_CHECKING:
    from gateway.edge.routes import Route

MAX_HEAD: Final = 32 << 10
MAX_HEADERS: Final = 100
# Heads with a changing part (an id, a trace) would only turn the memory over.
_REMEMBERED: Final = 1024
_REMEMBERED_SIZE: Final = 2048

# Any of these makes a request more than plain, and the other server's business.
_NOT_PLAIN: Final = frozenset({
    "transfer-encoding", "expect", "upgrade", "content-encoding", "trailer", "te",
    "proxy-connection", "keep-alive", "http2-settings",
})  # fmt: skip


class Head:
    """A plain request before its body: *route*, *length* of the body, and the headers."""

    __slots__ = (
        "headers", "keep_alive", "length", "raw", "repeatable", "request_id", "route", "rules",
        "target",
    )  # fmt: skip

    def __init__(
        self, route: Route, target: str, headers: dict[str, str], length: int, *, keep_alive: bool
    ) -> None:
        self.route = route
        self.target = target
        self.headers = headers
        self.length = length
        self.keep_alive = keep_alive
        # Its bytes, where it is remembered by them, and whether a request with it may be.
        self.raw = b""
        self.repeatable = False
        given = headers.get("x-request-id", "")
        self.request_id = given if fits(given) else ""
        control = headers.get("cache-control")
        self.rules = NO_RULES if control is None else cache_rules(control)

    def remembered(self, raw: bytes) -> None:
        """It was read from *raw*, and will be found by that.

        Whoever sends an id has another one the next time, and rules ask for more than what is
        there.
        """
        self.raw = raw
        self.repeatable = self.keep_alive and not self.request_id and self.rules is NO_RULES

    def __repr__(self) -> str:
        return f"<Head {self.target} {self.length} bytes>"


class _Collector:
    """What llhttp reports of one head."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._complete = True

    def complete(self) -> bool:
        """Whether the head has ended."""
        return self._complete


class Heads:
    """Reads heads and remembers those that it has read, by their bytes in *known*."""

    def __init__(self, *, max_body: int) -> None:
        self._max_body = max_body
        self.known: dict[bytes, Head] = {}

    def __repr__(self) -> str:
        return f"<Heads {len(self.known)} remembered>"

    def read(self, raw: bytes) -> Head | None:
        """The head in *raw*, which ends with the empty line; None unless it is plain."""
        head = self.known.get(raw)
        if head is None:
            head = self._parse(raw)
            if head is not None and len(raw) <= _REMEMBERED_SIZE:
                if len(self.known) >= _REMEMBERED:
                    self.known.clear()
                self.known[raw] = head
                head.remembered(raw)
        return head

    def _parse(self, raw: bytes) -> Head | None:
        collector = _read(raw)
        if collector is None:
            return None
        headers = _plain(collector.headers)
        # llhttp lets a start line have more spaces than it should.
        if headers is None or not raw.startswith(b"POST %b HTTP/1.1\r\n" % collector.url):
            return None
        if len(collector.url) > MAX_LINE:
            return None
        length = headers.get("content-length", "")
        # Only ASCII digits, and so few that no number can be too long to convert.
        if not (length.isascii() and length.isdigit() and len(length) <= 12):
            return None
        # Not what llhttp says of it: behind a body of no bytes it has forgotten the header.
        connection = headers.get("connection", "keep-alive").lower()
        if int(length) > self._max_body or connection not in {"close", "keep-alive"}:
            return None
        route = match("POST", collector.url)
        if route is None or is_upload(headers):
            return None
        target = collector.url.decode("latin-1")
        return Head(route, target, headers, int(length), keep_alive=connection != "close")


def _read(raw: bytes) -> _Collector | None:
    """What llhttp says of *raw*; None unless it is one head.

    It must see the head's end where the lane sees it, and no line may end otherwise.
    """
    if not raw.startswith(b"POST /") or raw.count(b"\n") != raw.count(b"\r\n"):
        return None
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(raw[:-1])
        if collector.complete():
            return None
        parser.feed_data(raw[-1:])
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    if not collector.complete() or parser.should_upgrade():
        return None
    return collector


def _plain(fields: list[tuple[bytes, bytes]]) -> dict[str, str] | None:
    """The headers by lower-case name; None if one of them is more than plain or given twice."""
    if len(fields) > MAX_HEADERS:
        return None
    headers: dict[str, str] = {}
    for name, value in fields:
        if len(name) + len(value) > MAX_LINE:
            return None
        try:
            key = name.decode("ascii").lower()
        except UnicodeDecodeError:
            return None
        # An underscore is an alias of a dash in many servers; the same header twice has no one
        # meaning. Both are rare and get the careful path.
        if key in _NOT_PLAIN or key in headers or "_" in key:
            return None
        # llhttp leaves the blanks behind a value, which are no part of it (RFC 9110, 5.5).
        headers[key] = value.decode("latin-1").rstrip(" \t")
    return headers if "host" in headers and is_host(headers["host"]) else None
