# SPDX-License-Identifier: Apache-2.0
"""Identifiers: a fresh UUIDv7 (RFC 9562), and which of a client's own are fit for a header."""

from __future__ import annotations

import os
import re
import time
from typing import Final

_BATCH: Final = 64
_VARIANT: Final = "89ab"

# The random parts that are left, and the millisecond that `_prefix` writes out.
_suffixes: list[str] = []
_millisecond = 0
_prefix = ""

# What goes into a header unchanged; it leaves no room for a line end.
fits = re.compile(r"[A-Za-z0-9._:\-/+=@]{1,128}").fullmatch


def new_id() -> str:
    """A UUIDv7: 48 bits of Unix milliseconds, then 74 bits from the system's random source."""
    global _millisecond, _prefix
    now = time.time_ns() // 1_000_000
    if now != _millisecond:
        text = f"{now:012x}"
        _millisecond, _prefix = now, f"{text[:8]}-{text[8:]}-"
    try:
        suffix = _suffixes.pop()
    except IndexError:
        suffix = _refill()
    return _prefix + suffix


def request_id(offered: str | None) -> str:
    """*offered* where it fits a header, else a fresh id."""
    return offered if offered is not None and fits(offered) else new_id()


def _refill() -> str:
    random = os.urandom(10 * _BATCH).hex()
    for start in range(0, len(random), 20):
        part = random[start : start + 20]
        variant = _VARIANT[int(part[3], 16) & 3]
        _suffixes.append(f"7{part[:3]}-{variant}{part[4:7]}-{part[8:]}")
    return _suffixes.pop()


# Two processes that share a pool would hand out the same ids.
os.register_at_fork(after_in_child=_suffixes.clear)
