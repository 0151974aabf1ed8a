# SPDX-License-Identifier: Apache-2.0
"""Receive: the whole body of an aiohttp request, within a size and a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion11, web

from gateway.edge.content_coding import inflate, request_coding
from gateway.errors import ClientError, InvalidRequest, RequestTimeout, TooLarge

if TYPE_CHECKING:
    from gateway.wire.tensor import Buffer

# Compressed data above this takes longer to inflate than a turn to a thread.
_OFF_LOOP: Final = 16 << 10


class ExpectationFailed(ClientError):
    """An ``Expect`` header that asks for anything but 100-continue."""

    status = 417


async def receive(request: web.BaseRequest, *, limit: int, timeout: float) -> Buffer:
    """The body of *request*, decompressed; never more than *limit* bytes, nor of those as sent.

    *timeout* is in seconds and counts from now. Raises TooLarge, RequestTimeout,
    UnsupportedEncoding, ExpectationFailed and InvalidRequest; the connection cannot be used again
    after any of these unless the body was read to its end.
    """
    coding = request_coding(",".join(request.headers.getall("Content-Encoding", ())))
    announced = request.content_length
    if announced is not None and announced > limit:
        raise TooLarge(f"body: Content-Length is {announced} bytes, the limit is {limit}")
    await _let_continue(request)
    body = bytearray()
    try:
        async with asyncio.timeout(timeout):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise TooLarge(f"body: more than {limit} bytes, which is the limit")
    except TimeoutError:
        raise RequestTimeout(
            f"body: not complete after {timeout:g} s; {len(body)} bytes had arrived"
        ) from None
    except web.RequestPayloadError as error:
        raise InvalidRequest(f"body: malformed transfer coding: {error}") from None
    if not coding:
        return body
    if len(body) > _OFF_LOOP:
        return await asyncio.to_thread(inflate, body, coding, limit)
    return inflate(body, coding, limit)


async def _let_continue(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to go on with the body."""
    expected = request.headers.get("Expect")
    # A client of HTTP/1.0 does not know of interim answers.
    if expected is None or request.version < HttpVersion11:
        return
    if expected.lower() != "100-continue":
        raise ExpectationFailed(f"Expect: '100-continue' is all that is met, got '{expected[:64]}'")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # The interim answer is no part of the answer, which has not begun.
    request.writer.output_size = 0
