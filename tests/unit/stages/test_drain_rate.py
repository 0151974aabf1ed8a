# SPDX-License-Identifier: Apache-2.0
"""DrainRate: measured only while somebody waits."""

from __future__ import annotations

import pytest

from gateway.stages.drain_rate import DrainRate


def busy(rate: DrainRate, *, rows: int, every: float, times: int, start: float = 0.0) -> float:
    """*times* batches of *rows* that land *every* so many seconds while others wait."""
    now = start
    rate.waits(now)
    for _ in range(times):
        now += every
        rate.landed(rows, now, waiting=True)
    return now


def test_tells_how_long_a_queue_takes() -> None:
    """Ten rows in a hundredth of a second: a thousand a second."""
    rate = DrainRate()
    busy(rate, rows=10, every=0.01, times=20)
    assert rate.seconds(500) == pytest.approx(0.5)


def test_says_nothing_before_it_knows() -> None:
    """A guess would refuse what could be served."""
    rate = DrainRate()
    busy(rate, rows=10, every=10.0, times=4)
    assert rate.seconds(500) == 0.0


def test_idle_time_is_no_slowness() -> None:
    """What was not asked could not be served."""
    rate = DrainRate()
    now = busy(rate, rows=10, every=0.01, times=20)
    rate.landed(10, now + 0.01, waiting=False)
    rate.landed(1, now + 100, waiting=False)
    busy(rate, rows=10, every=0.01, times=1, start=now + 200)
    assert rate.seconds(500) == pytest.approx(0.5, rel=0.1)


def test_forgets_what_was() -> None:
    """Twenty batches later a worker that became slow is known to be."""
    rate = DrainRate()
    now = busy(rate, rows=10, every=0.01, times=50)
    busy(rate, rows=10, every=0.1, times=60, start=now)
    assert rate.seconds(100) == pytest.approx(1.0, rel=0.1)
