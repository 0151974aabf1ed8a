# SPDX-License-Identifier: Apache-2.0
"""``Cache-Control`` of a request: what is obeyed, and how oddities are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stages import cache_rules as module
from gateway.stages.cache_rules import cache_rules
from gateway.wire.message import NO_RULES, CacheRules


def told(rules: CacheRules) -> tuple[bool, bool, bool, float | None]:
    """The directives as one value."""
    return (rules.no_cache, rules.no_store, rules.only_if_cached, rules.max_age)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("no-cache", (True, False, False, None)),
        ("no-store", (False, True, False, None)),
        ("only-if-cached", (False, False, True, None)),
        ("max-age=60", (False, False, False, 60)),
        ("No-Cache, NO-STORE", (True, True, False, None)),
        (" only-if-cached ,max-age = 5", (False, False, True, 5)),
        ('max-age="7"', (False, False, False, 7)),
        ("max-age=9, max-age=3", (False, False, False, 3)),
        ("max-age=99999999999999999999", (False, False, False, 1 << 31)),
    ],
)
def test_directives_are_read_whatever_their_case_and_blanks(
    header: str, expected: tuple[bool, bool, bool, float | None]
) -> None:
    """Names are case-insensitive; the strictest of several ages counts."""
    assert told(cache_rules(header)) == expected


@pytest.mark.parametrize(
    "header", ["max-age", "max-age=", "max-age=-1", "max-age=x", "max-age=1.5"]
)
def test_an_age_that_is_no_number_lets_nothing_through(header: str) -> None:
    """The careful reading of a limit that cannot be read."""
    assert cache_rules(header).max_age == 0


@pytest.mark.parametrize(
    "header", ["", ",", "no-transform", "min-fresh=0", "x=no-store", "no-caches"]
)
def test_other_directives_are_passed(header: str) -> None:
    """What this cache does not have is no reason to refuse a request."""
    assert cache_rules(header) is NO_RULES


def test_equal_headers_are_read_once() -> None:
    """Most clients send the same one with every request."""
    assert cache_rules("no-cache, max-age=11") is cache_rules("no-cache, max-age=11")


def test_memory_of_headers_is_bounded() -> None:
    """A client that never repeats itself costs no memory."""
    for number in range(1000):
        cache_rules(f"max-age={number}, no-cache")
    cache_rules("no-cache" + " " * 10_000)

    assert len(module._known) <= module._MAX_KNOWN
    assert max(map(len, module._known)) <= module._MAX_LENGTH


@given(st.text())
def test_any_text_is_read(header: str) -> None:
    """Nothing that a client can send raises."""
    assert isinstance(cache_rules(header), CacheRules)
