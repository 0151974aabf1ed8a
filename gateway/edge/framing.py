# SPDX-License-Identifier: Apache-2.0
"""Framing: what the aiohttp server's parser lets through, but two servers may read in two ways."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion10, HttpVersion11

from gateway.errors import InvalidRequest, Unsupported

if TYPE_CHECKING:
    from aiohttp import web

# Bytes of a line of a head, its name and value together.
MAX_LINE: Final = 8190

# How a chunked body ends that has no trailer fields. No other line of it or of a head is a lone 0.
PLAIN_END: Final = b"\r\n0\r\n\r\n"

# What the parser takes for no length at all, although a body of it may follow.
_UNSET: Final = (1 << 64) - 1

# RFC 9110, 7.2: a host and a port of RFC 3986, without user information. It may be empty.
_HOST: Final = re.compile(
    r"(?:\[[0-9A-Za-z:.%~_-]+\]|(?:[0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
)


def is_host(value: str) -> bool:
    """Whether *value* can stand in a ``Host`` header."""
    return _HOST.fullmatch(value) is not None


def check_framing(request: web.BaseRequest) -> None:
    """Refuse a head that does not surely say where its request ends, or for whom it is.

    Raises InvalidRequest and Unsupported; the connection must not be used again after either.
    """
    if request.version < HttpVersion10:
        # It has no headers to say how long a body or an answer is.
        raise InvalidRequest("malformed HTTP request: no HTTP version")
    if request.version > HttpVersion11:
        # The parser takes the text of a version that has no text.
        raise InvalidRequest("malformed HTTP request: not HTTP/1.1")
    codings = request.headers.getall("Transfer-Encoding", [])
    if codings and request.version < HttpVersion11:
        # A proxy of that age passes the header on without knowing it (RFC 9112, 6.1).
        raise InvalidRequest("malformed HTTP request: Transfer-Encoding in HTTP/1.0")
    coding = ", ".join(codings)
    # The parser takes any list that ends with chunked, and decodes nothing else in it.
    if codings and not (coding.isascii() and coding.lower() == "chunked"):
        raise Unsupported(f"Transfer-Encoding: 'chunked' is all that is met, got '{coding[:64]}'")
    if request.content_length == _UNSET:
        raise InvalidRequest("malformed HTTP request: Content-Length overflow")
    if not is_host(host := request.headers.get("Host", "")):
        raise InvalidRequest(
            f"malformed HTTP request: Host: expected a name and a port, got '{host[:64]}'"
        )


def ends_surely(request: web.BaseRequest, last: bytes, *, more: bool) -> bool:
    """Whether the connection is known to be at the end of *request*, and nothing of it is left.

    *last* is what arrived last, as many bytes as `PLAIN_END` has; *more* tells that a later
    request was parsed already.
    """
    if "Upgrade" in request.headers:
        # The parser drops what it was given together with the end of such a request.
        return False
    if "Transfer-Encoding" not in request.headers:
        return True
    # The parser takes the last trailer field for a header of the next request.
    return not more and request.content.is_eof() and last == PLAIN_END
