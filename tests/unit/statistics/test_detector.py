# SPDX-License-Identifier: Apache-2.0
"""Detector: rare false alarms, quick true ones, however long the past was good."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.statistics.detector import Detector


def steps_to_alarm(share: float, *, good: int, random: np.random.Generator) -> int:
    """Steps of 20 rows with *share* right to the alarm, after *good* steps of 0.95; 400: none."""
    detector = Detector(target=0.9, rarely=1000)
    for step in range(good):
        detector.add(random.random(20) < 0.95, step)
    for step in range(400):
        if detector.add(random.random(20) < share, good + step):
            return step
    return 400


def test_alarms_are_rare_while_the_share_is_at_its_target() -> None:
    """At the target itself the mean time between false alarms is at least what was asked for."""
    random = np.random.default_rng(1)
    times = [steps_to_alarm(0.9, good=0, random=random) for _ in range(60)]
    # With a mean of 1000 steps or more, fewer than 33 % of streams alarm within 400.
    assert np.mean([time < 400 for time in times]) < 0.33


def test_a_fall_is_found_as_soon_after_a_long_good_past() -> None:
    """What was good before does not weigh against what is bad now."""
    random = np.random.default_rng(2)
    fresh = np.mean([steps_to_alarm(0.8, good=0, random=random) for _ in range(20)])
    late = np.mean([steps_to_alarm(0.8, good=500, random=random) for _ in range(20)])
    assert late < 25
    assert late < fresh + 8


def test_an_alarm_ends_when_the_share_is_back() -> None:
    """Rows that are right end it, and it survives being packed in between."""
    detector = Detector(target=0.9, rarely=1000)
    assert detector.add(np.zeros(100), 0)
    detector = Detector.unpack(detector.pack())
    assert detector.alarm
    assert detector.add(np.zeros(100), 1)
    assert not detector.add(np.ones(300), 2)


def test_a_target_is_a_share() -> None:
    """A target of 1 could never be met for sure."""
    with pytest.raises(ValueError, match="target 1: expected more than 0 and less than 1"):
        Detector(target=1, rarely=100)
