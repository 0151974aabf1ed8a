# SPDX-License-Identifier: Apache-2.0
"""Breaker: when it opens, for how long, and what closes it."""

from __future__ import annotations

from gateway.stores.breaker import Breaker
from tests.support.upstream import Clock


def opened(clock: Clock) -> Breaker:
    """One that has just opened for the first time."""
    breaker = Breaker(clock=clock)
    for _ in range(5):
        breaker.failed()
    return breaker


def test_it_opens_with_five_failures_within_a_second() -> None:
    """Four are not enough, nor five that are further apart."""
    clock = Clock()
    breaker = Breaker(clock=clock)
    for _ in range(20):
        breaker.failed()
        clock.now += 0.26
    assert breaker.closed

    clock.now += 1
    for _ in range(3):
        breaker.failed()
        breaker.succeeded()
        assert breaker.state != "open"
    breaker.failed()
    breaker.failed()
    assert breaker.state == "open"


def test_one_probe_may_be_sent_when_its_time_is_over() -> None:
    """Whoever asks second is told no."""
    clock = Clock()
    breaker = opened(clock)
    clock.now += 0.99
    assert not breaker.probe_is_due()
    clock.now += 0.01

    assert breaker.probe_is_due()
    assert not breaker.probe_is_due()
    assert breaker.state == "half-open"


def test_a_good_probe_closes_it_and_its_next_opening_is_short_again() -> None:
    """With nothing of the failures before."""
    clock = Clock()
    breaker = opened(clock)
    clock.now += 1
    assert breaker.probe_is_due()
    breaker.succeeded()
    assert breaker.closed

    breaker.failed()
    assert breaker.closed
    for _ in range(4):
        breaker.failed()
    clock.now += 1
    assert breaker.probe_is_due()


def test_each_bad_probe_doubles_the_time_up_to_a_bound() -> None:
    """1, 2, 4, 8, 16, and then always 30 seconds."""
    clock = Clock()
    breaker = opened(clock)
    for seconds in (1, 2, 4, 8, 16, 30, 30, 30):
        clock.now += seconds - 0.001
        assert not breaker.probe_is_due()
        clock.now += 0.001
        assert breaker.probe_is_due()
        breaker.failed()
        assert breaker.state == "open"


def test_what_ends_while_it_is_open_changes_nothing() -> None:
    """It was sent before."""
    clock = Clock()
    breaker = opened(clock)
    breaker.succeeded()
    for _ in range(50):
        breaker.failed()
    assert breaker.state == "open"
    clock.now += 1
    assert breaker.probe_is_due()
