# SPDX-License-Identifier: Apache-2.0
"""Identifiers: a fresh UUIDv7 (RFC 9562), and which of a client's own are fit for a header."""

from __future__ import annotations

import os
import re
from time import time_ns
from typing import Final

_COUNTERS: Final = tuple(f"7{count:03x}-" for count in range(4096))
_VARIANT: Final = "89ab"

# The millisecond that `_prefix` writes out, the random part that its ids share, and their count.
_millisecond = 0
_prefix = ""
_random = ""
_count = 0

# What goes into a header unchanged; it leaves no room for a line end.
fits = re.compile(r"[A-Za-z0-9._:\-/+=@]{1,128}").fullmatch


def new_id() -> str:
    """A UUIDv7: 48 bits of Unix milliseconds, a counter of 12, then 62 bits at random.

    The random part is drawn once a millisecond and for every 4,096 ids: the counter tells those of
    one process apart (RFC 9562, section 6.2, method 1), the random part the processes.
    """
    global _count  # noqa: PLW0603 - the ids of the running millisecond
    if time_ns() // 1_000_000 != _millisecond or _count == 4096:
        _turn()
    _count += 1
    return f"{_prefix}{_COUNTERS[_count - 1]}{_random}"


def request_id(offered: str | None) -> str:
    """*offered* where it fits a header, else a fresh id."""
    return offered if offered is not None and fits(offered) else new_id()


def _turn() -> None:
    global _millisecond, _prefix, _random, _count  # noqa: PLW0603 - as above
    _millisecond = time_ns() // 1_000_000
    text = f"{_millisecond:012x}"
    _prefix = f"{text[:8]}-{text[8:]}-"
    random = os.urandom(8).hex()
    _random = f"{_VARIANT[int(random[0], 16) & 3]}{random[1:4]}-{random[4:]}"
    _count = 0


def _forget() -> None:
    global _millisecond  # noqa: PLW0603 - as above
    _millisecond = 0


# Two processes that share a random part would hand out the same ids.
os.register_at_fork(after_in_child=_forget)
