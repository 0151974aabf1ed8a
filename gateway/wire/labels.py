# SPDX-License-Identifier: Apache-2.0
"""Labels on their way from a gateway process, where clients send them, to the control process.

Both ways a message is msgpack behind four bytes of length; answers come in any order.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

# What is said where no model keeps predictions.
NOBODY: Final = "no model here takes labels; give one a section quality"
LENGTH: Final = struct.Struct("<I")
# The largest body of labels, in bytes; some 800,000 labels as JSON.
LARGEST: Final = 64 << 20
LONGEST: Final = LARGEST + (64 << 10)


class Posted(msgspec.Struct, frozen=True):
    """Labels as a client of *tenant* has sent them, of *content_type*, for *model* if it said so.

    A *content_type* of "" leaves it to what the body looks like.
    """

    id: int
    tenant: str
    content_type: str
    model: str
    body: bytes


class Answered(msgspec.Struct, frozen=True):
    """The answer to the labels *id*: an HTTP status and a JSON document."""

    id: int
    status: int
    body: bytes


_posted: Final = msgspec.msgpack.Decoder(Posted)
_answered: Final = msgspec.msgpack.Decoder(Answered)


def packed(message: Posted | Answered) -> bytes:
    """*message* as it travels."""
    body = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(body)) + body


def posted(body: bytes) -> Posted:
    """The message in *body*, without its length; raises ValueError for anything else."""
    return _posted.decode(body)


def answered(body: bytes) -> Answered:
    """The message in *body*, without its length; raises ValueError for anything else."""
    return _answered.decode(body)
