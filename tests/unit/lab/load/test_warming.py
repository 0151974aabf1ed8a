# SPDX-License-Identifier: Apache-2.0
"""A warm-up without a length ends when answers are steady."""

from gateway.lab.load.histogram import Histogram
from gateway.lab.load.warming import LONGEST, Warming


def warmed(*windows: tuple[float, int]) -> Warming:
    """After windows of a second: their median in seconds, and how many were answered."""
    made = Warming()
    for median, number in windows:
        for _ in range(2):
            half = Histogram()
            half.record_seconds(median, number // 2)
            made.add(half)
    return made


def test_three_alike_windows_are_enough() -> None:
    """Medians and numbers within 10 %."""
    assert warmed((0.010, 2000), (0.0105, 2050), (0.0101, 1950)).steady(3.0)
    assert not warmed((0.010, 2000), (0.0105, 2050)).steady(2.0)


def test_what_still_gets_faster_is_not_warm() -> None:
    """Until the slow windows are left behind."""
    slow = [(0.030, 2000), (0.014, 2000), (0.010, 2000)]

    assert not warmed(*slow).steady(3.0)
    assert warmed(*slow, (0.010, 2000), (0.010, 2000)).steady(5.0)
    assert not warmed((0.01, 500), (0.01, 2000), (0.01, 2000)).steady(3.0)


def test_few_answers_vary_by_chance() -> None:
    """A hundred a second do not differ for sure where they differ by a fifth."""
    assert warmed((0.010, 100), (0.010, 120), (0.010, 96)).steady(3.0)
    assert not warmed((0.010, 100), (0.010, 0), (0.010, 100)).steady(3.0)


def test_a_server_that_never_settles_is_measured_all_the_same() -> None:
    """After half a minute."""
    assert warmed((0.1, 10), (0.2, 50)).steady(LONGEST)
