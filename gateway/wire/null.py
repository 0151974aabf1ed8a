# SPDX-License-Identifier: Apache-2.0
"""Null in a tensor: tensors have none, so a column marks it by a value that is nothing else.

A NaN with bits of its own, as R marks what is not available; the lowest INT64, as numpy marks what
is no time; a BOOL of 2; a text that is not UTF-8.
"""

from __future__ import annotations

import struct
from typing import Final

NULL_TEXT: Final = b"\xff"

# The bytes of a null in each datatype that a column can have; for BYTES with the length before it.
NULL: Final[dict[str, bytes]] = {
    "FP64": struct.pack("<Q", 0x7FF8_0000_0000_07A2),
    "FP32": struct.pack("<I", 0x7FC0_07A2),
    "INT64": struct.pack("<q", -(2**63)),
    "BOOL": b"\2",
    "BYTES": struct.pack("<I", len(NULL_TEXT)) + NULL_TEXT,
}
