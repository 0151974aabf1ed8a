# SPDX-License-Identifier: Apache-2.0
"""Multipart: the parts of a ``multipart/form-data`` body (RFC 7578), where each is and its name.

Read strictly: where two readers could see different parts, the body is refused.
"""

from __future__ import annotations

import re
from email.message import Message
from email.parser import HeaderParser
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.errors import InvalidRequest

if TYPE_CHECKING:
    from gateway.wire.tensor import Buffer

# Each takes some 20 microseconds to read.
MAX_PARTS: Final = 1024
_MAX_HEADER: Final = 4096
# RFC 2046, 5.1.1.
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
# What leaves a part as it is.
_CODINGS: Final = frozenset({"", "binary", "8bit", "7bit"})
_PARSE: Final = HeaderParser().parsestr


class Part(NamedTuple):
    """A field of a form: *name*, and where its content is in the body."""

    name: str
    start: int
    end: int


def boundary_of(content_type: str) -> bytes:
    """What stands between the parts; raises InvalidRequest where *content_type* does not say."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not _BOUNDARY.fullmatch(boundary):
        raise InvalidRequest(
            "Content-Type: multipart/form-data needs a boundary of 1 to 70 letters"
        )
    return boundary.encode()


def parts_of(body: Buffer, boundary: bytes) -> list[Part]:
    """The parts of *body*, in order; raises InvalidRequest for anything that is not a form."""
    data = body if isinstance(body, bytes | bytearray) else bytes(body)
    line = b"--" + boundary
    if not data.startswith(line):
        raise InvalidRequest("body: it does not begin with the boundary that Content-Type names")
    found: list[Part] = []
    at = len(line)
    while data[at : at + 2] != b"--":
        number = len(found)
        if data[at : at + 2] != b"\r\n":
            raise InvalidRequest(f"body: what stands behind boundary {number} is no end of a line")
        if number >= MAX_PARTS:
            raise InvalidRequest(f"body: more than {MAX_PARTS} parts")
        head = data.find(b"\r\n\r\n", at, at + _MAX_HEADER)
        if head < 0:
            raise InvalidRequest(
                f"body: part {number} has no header, or one of more than {_MAX_HEADER} bytes"
            )
        start = head + 4
        end = data.find(b"\r\n" + line, start)
        if end < 0:
            raise InvalidRequest(f"body: part {number} has no end")
        found.append(Part(_name(bytes(data[at + 2 : head]), number), start, end))
        at = end + 2 + len(line)
    if data[at + 2 :].strip(b" \t\r\n"):
        raise InvalidRequest("body: something follows the last boundary")
    return found


def _name(head: bytes, number: int) -> str:
    """The field's name in the header of part *number*."""
    try:
        message = _PARSE(head.decode())
    except UnicodeDecodeError:
        raise InvalidRequest(f"body: the header of part {number} is not UTF-8") from None
    name = message.get_param("name", header="content-disposition")
    if message.get_content_disposition() != "form-data" or not isinstance(name, str) or not name:
        raise InvalidRequest(
            f"body: part {number} needs 'Content-Disposition: form-data; name=\"INPUT\"'"
        )
    coding = str(message.get("content-transfer-encoding", "")).strip().lower()
    if coding not in _CODINGS:
        raise InvalidRequest(
            f"body: part {number} is encoded as '{coding[:32]}'; expected its bytes as they are"
        )
    return name
