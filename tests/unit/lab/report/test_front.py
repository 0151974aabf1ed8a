# SPDX-License-Identifier: Apache-2.0
"""The settings that nothing beats."""

from __future__ import annotations

from gateway.lab.report.front import Candidate, pareto


def _one(label: str, throughput: float, p99: float, **more: object) -> Candidate:
    return Candidate(label=label, throughput=throughput, p99=p99, **more)  # type: ignore[arg-type]


def test_keeps_what_is_best_in_something() -> None:
    """Throughput, p99, memory or accuracy; equal ones stay together."""
    fast, quick = _one("fast", 100, 0.02), _one("quick", 50, 0.01)
    beaten = _one("beaten", 50, 0.02)
    assert pareto([beaten, quick, fast]) == (fast, quick)
    assert pareto([fast, fast]) == (fast, fast)


def test_memory_and_accuracy_count() -> None:
    """Slower in all, and smaller or more accurate."""
    fast = _one("fast", 100, 0.01, memory=2.0, accuracy=0.9)
    small = _one("small", 50, 0.02, memory=1.0, accuracy=0.9)
    right = _one("right", 40, 0.03, memory=2.0, accuracy=0.95)
    worse = _one("worse", 40, 0.03, memory=2.0, accuracy=0.94)
    assert pareto([worse, right, small, fast]) == (fast, small, right)


def test_what_was_refused_is_no_choice() -> None:
    """However fast it is."""
    slow = _one("slow", 10, 0.1)
    assert pareto([slow, _one("int8", 100, 0.01, refused="accuracy")]) == (slow,)
