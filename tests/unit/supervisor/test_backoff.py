# SPDX-License-Identifier: Apache-2.0
"""Backoff: the seconds between an end and the next start."""

from __future__ import annotations

from gateway.supervisor.backoff import Backoff


def test_doubles_up_to_the_longest() -> None:
    """A process that keeps dying young is started ever less often, but never given up."""
    backoff = Backoff(first=0.1, longest=1.0, settled=10.0)
    assert [backoff.delay(served=0.0) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_begins_again_after_a_settled_life() -> None:
    """A process that had settled is started again quickly."""
    backoff = Backoff(first=0.1, longest=5.0, settled=10.0)
    for _ in range(5):
        backoff.delay(served=9.9)
    assert backoff.delay(served=10.0) == 0.1
    assert backoff.delay(served=0.0) == 0.2


def test_defaults_are_the_documented_ones() -> None:
    """0.1 s doubling to 5 s, and from the start again after a second of service."""
    backoff = Backoff()
    delays = [backoff.delay(served=0.0) for _ in range(8)]
    assert delays[0] == 0.1
    assert delays[-1] == 5.0
    assert repr(backoff) == "<Backoff next=5s>"
    assert backoff.delay(served=1.0) == 0.1
