# SPDX-License-Identifier: Apache-2.0
"""The ``Cache-Control`` directives of a request, as RFC 9111 section 5.2.1 defines them."""

from __future__ import annotations

from typing import Final

from gateway.wire.message import NO_RULES, CacheRules

_MAX_KNOWN: Final = 256
_MAX_LENGTH: Final = 256
# RFC 9111 section 1.2.2: a larger number of seconds counts as this one.
_MAX_SECONDS: Final = 1 << 31
_known: dict[str, CacheRules] = {}


def cache_rules(header: str) -> CacheRules:
    """What the value of ``Cache-Control`` asks for; directives that no cache here has are passed.

    A *max-age* that is not a number of seconds counts as 0: no stored answer is young enough.
    """
    known = _known.get(header)
    if known is not None:
        return known
    rules = _parse(header)
    if len(header) <= _MAX_LENGTH:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[header] = rules
    return rules


def _parse(header: str) -> CacheRules:
    flags = set()
    max_age: float | None = None
    min_fresh = max_stale = 0.0
    for part in header.split(","):
        name, _, value = part.partition("=")
        name, value = name.strip().lower(), value.strip().strip('"')
        match name:
            case "no-cache" | "no-store" | "only-if-cached":
                flags.add(name)
            case "max-age":
                seconds = _seconds(value)
                max_age = seconds if max_age is None else min(max_age, seconds)
            case "min-fresh":
                min_fresh = max(min_fresh, _seconds(value))
            case "max-stale":
                # Without a number, of any age.
                max_stale = _seconds(value) if value else float(_MAX_SECONDS)
            case _:
                continue
    if not (flags or max_age is not None or min_fresh or max_stale):
        return NO_RULES
    return CacheRules(
        no_cache="no-cache" in flags,
        no_store="no-store" in flags,
        only_if_cached="only-if-cached" in flags,
        max_age=max_age,
        min_fresh=min_fresh,
        max_stale=max_stale,
    )


def _seconds(value: str) -> float:
    if not (value.isascii() and value.isdigit()):
        return 0.0
    return float(_MAX_SECONDS if len(value) > 10 else min(int(value), _MAX_SECONDS))
