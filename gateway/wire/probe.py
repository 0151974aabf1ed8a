# SPDX-License-Identifier: Apache-2.0
"""How a request of the control process proves that it is a quality probe and no client's.

The proof is a header with a key that lies in the runtime directory, which nobody but the user of
this Infergate can read, and which is another one for each run of it.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from gateway.wire.runtime import probe_key_file
from gateway.wire.selection import read_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HEADER: Final = "Infergate-Probe"
_LOWER: Final = HEADER.lower()
# Behind all clients that wait; greater numbers are lower priorities.
PRIORITY: Final = 1 << 31


def probe_token(runtime: str | Path) -> str:
    """What the header has to be in this run; raises OSError where it cannot be kept."""
    return read_key(probe_key_file(runtime)).hex()


def is_probe(headers: Mapping[str, str], token: str) -> bool:
    """Whether *headers*, with names in lower case, prove a probe; without a *token* nothing does.

    A header that proves nothing is passed over: it makes a request neither better nor worse.
    """
    told = headers.get(_LOWER)
    if told is None or not token:
        return False
    return compare_digest(told.encode("utf-8", "surrogateescape"), token.encode())
