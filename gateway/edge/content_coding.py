# SPDX-License-Identifier: Apache-2.0
"""Content codings: gzip and deflate of bodies, both ways, never beyond a limit."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Final

from gateway.errors import InvalidRequest, TooLarge, UnsupportedEncoding

if TYPE_CHECKING:
    from gateway.wire.tensor import Buffer

# zlib's window sizes: with the gzip header, with zlib's own, and bare.
_GZIP: Final = 31
_ZLIB: Final = 15
_BARE: Final = -15

_QUALITY: Final = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


def request_coding(value: str) -> str:
    """The coding that ``Content-Encoding: value`` names: "gzip", "deflate", or "" for none.

    Raises UnsupportedEncoding for any other, and for one on top of another.
    """
    coding = value.strip().lower()
    if coding in {"", "identity"}:
        return ""
    if coding in {"gzip", "x-gzip"}:
        return "gzip"
    if coding == "deflate":
        return "deflate"
    raise UnsupportedEncoding(
        f"Content-Encoding '{value[:64]}' is not offered; send gzip, deflate or identity"
    )


def inflate(body: Buffer, coding: str, limit: int) -> bytes:
    """*body* decoded, never making more than *limit* bytes.

    Raises TooLarge above *limit*, InvalidRequest for what is not one complete stream.
    """
    windows = (_GZIP,) if coding == "gzip" else (_ZLIB, _BARE)
    for window in windows:
        machine = zlib.decompressobj(window)
        try:
            data = machine.decompress(body, limit + 1)
        except zlib.error:
            # What HTTP calls deflate has zlib's header, but some clients leave it out.
            continue
        if len(data) > limit:
            raise TooLarge(f"body: more than {limit} bytes once decompressed, which is the limit")
        if not machine.eof:
            raise InvalidRequest(f"body: the {coding} data ends too early")
        if machine.unused_data:
            raise InvalidRequest(f"body: data follows the end of the {coding} stream")
        return data
    raise InvalidRequest(f"body: Content-Encoding is {coding}, the body is not")


def answer_coding(accepted: str) -> str:
    """The coding to answer with for ``Accept-Encoding: accepted``; "" to leave the body as is."""
    best, best_quality = "", 0.0
    for item in accepted.lower().split(","):
        coding, _, parameters = item.strip().partition(";")
        coding = coding.strip()
        if coding not in {"gzip", "deflate"}:
            continue
        found = _QUALITY.fullmatch(parameters.strip()) if parameters else None
        quality = float(found[1]) if found else (0.0 if parameters else 1.0)
        # Of equals the first named; gzip and deflate differ in a header only.
        if quality > best_quality:
            best, best_quality = coding, quality
    return best


def deflate(body: bytes, coding: str) -> bytes:
    """*body* in *coding*, at the level that costs least."""
    machine = zlib.compressobj(1, zlib.DEFLATED, _GZIP if coding == "gzip" else _ZLIB)
    return machine.compress(body) + machine.flush()
