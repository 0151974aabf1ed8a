# SPDX-License-Identifier: Apache-2.0
"""Peak EWMA: the shortest expected time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from gateway.upstream.policy import PeakEwma
from tests.support.upstream import Clock

if TYPE_CHECKING:
    from gateway.upstream.policy import Loaded


def loaded(name: str, pending: int = 0, weight: float = 1.0) -> Loaded:
    """An endpoint as a policy sees it."""
    return cast(
        "Loaded", SimpleNamespace(name=name, pending=pending, pending_rows=0, weight=weight)
    )


def learned(clock: Clock, **seconds: float) -> PeakEwma:
    """A policy that has seen one answer of each endpoint."""
    policy = PeakEwma(decay=10, clock=clock)
    for name, time in seconds.items():
        policy.attempted(name, time, good=True)
    return policy


def test_waits_behind_others_where_that_is_quicker() -> None:
    """Three at a worker ten times as fast are done sooner."""
    policy = learned(Clock(), fast=0.01, slow=0.1)
    assert policy.pick([loaded("slow"), loaded("fast", 3)]) == 1
    assert policy.pick([loaded("slow"), loaded("fast", 10)]) == 0


def test_weight_counts_like_speed() -> None:
    """The operator may know better."""
    policy = learned(Clock(), a=0.01, b=0.01)
    assert policy.pick([loaded("a", 1, 3.0), loaded("b", 0, 1.0)]) == 0


def test_one_slow_answer_is_believed_at_once() -> None:
    """A peak counts whole, what is quicker only in part."""
    clock = Clock()
    policy = learned(clock, a=0.01, b=0.02)
    policy.attempted("a", 1.0, good=True)
    assert policy.pick([loaded("a"), loaded("b")]) == 1
    policy.attempted("a", 0.01, good=True)
    assert policy.pick([loaded("a"), loaded("b")]) == 1


def test_a_slow_answer_is_forgotten_in_time() -> None:
    """A worker that was slow once gets another chance without anybody asking it."""
    clock = Clock()
    policy = learned(clock, a=1.0, b=0.02)
    clock.now += 100
    policy.attempted("b", 0.02, good=True)
    assert policy.pick([loaded("a"), loaded("b")]) == 0


def test_an_unknown_endpoint_is_asked_once() -> None:
    """Idle it costs nothing, with something pending a second."""
    policy = learned(Clock(), a=0.01)
    assert policy.pick([loaded("a"), loaded("new")]) == 1
    assert policy.pick([loaded("a", 50), loaded("new", 1)]) == 0


def test_a_quick_failure_is_not_speed() -> None:
    """A worker that refuses everything at once would get everything."""
    policy = learned(Clock(), a=0.1, b=0.05)
    for _ in range(50):
        policy.attempted("a", 0.0001, good=False)
    assert policy.pick([loaded("a"), loaded("b")]) == 1


def test_a_slow_failure_is_slowness() -> None:
    """A timeout took its time."""
    policy = learned(Clock(), a=0.01, b=0.05)
    policy.attempted("a", 5.0, good=False)
    assert policy.pick([loaded("a"), loaded("b")]) == 1
