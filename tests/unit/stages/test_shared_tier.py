# SPDX-License-Identifier: Apache-2.0
"""SecondSight: what has been seen before, in bounded memory."""

from __future__ import annotations

from gateway.stages.shared_tier import SecondSight


def key(number: int) -> bytes:
    """A key as the cache makes them."""
    return number.to_bytes(16, "little")


def test_what_was_seen_is_known_again() -> None:
    """From the second time on."""
    sights = SecondSight()
    assert [sights.seen(key(1)), sights.seen(key(1)), sights.seen(key(2))] == [False, True, False]


def test_it_remembers_for_as_long_as_there_is_room() -> None:
    """At least *capacity* others, at most twice as many."""
    sights = SecondSight(100)
    sights.seen(key(0))
    for number in range(1, 101):
        sights.seen(key(number))
    assert sights.seen(key(0))
    for number in range(1000, 1300):
        sights.seen(key(number))
    assert not sights.seen(key(0))
    assert repr(sights).endswith("/200>")
    assert len(sights._now) + len(sights._before) <= 200
