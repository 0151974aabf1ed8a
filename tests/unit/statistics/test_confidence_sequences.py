# SPDX-License-Identifier: Apache-2.0
"""Intervals that hold at every look: known widths, and looks at every row of many streams."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.statistics.confidence_sequences import (
    BoundedMean,
    mean_sequence,
    share_sequence,
    upper_share,
)
from gateway.statistics.intervals import wilson


def test_known_widths() -> None:
    """About twice as wide as Wilson's for one look."""
    thousand, more = share_sequence(950, 1000), share_sequence(9500, 10000)

    assert (round(thousand.lower, 3), round(thousand.upper, 3)) == (0.921, 0.971)
    assert (round(more.lower, 4), round(more.upper, 4)) == (0.9409, 0.9582)
    once = wilson(950, 1000)
    assert 1.7 < (thousand.upper - thousand.lower) / (once.upper - once.lower) < 2.1


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (0, 5), (5, 5), (1, 3)])
def test_ends_stay_within_shares(successes: int, n: int) -> None:
    """None and all right, from the first row on."""
    interval = share_sequence(successes, n)

    assert 0 <= interval.lower <= interval.upper <= 1
    assert not n or interval.lower <= successes / n <= interval.upper
    assert upper_share(successes, n) == interval.upper


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_look_at_every_row_is_wrong_in_few_streams(share: float) -> None:
    """4,000 streams of 1,000 rows; Wilson's interval is wrong at some look in a third of them."""
    random = np.random.default_rng(11)
    rows = random.random((4000, 1000)) < share
    successes = rows.cumsum(axis=1)
    # The set of successes whose interval covers, by number of rows, looked up for all streams.
    missed, once = np.zeros(4000, dtype=bool), np.zeros(4000, dtype=bool)
    for n in range(10, 1001, 10):
        seen = successes[:, n - 1]
        values = np.unique(seen)
        outside = {int(k): share not in share_sequence(int(k), n) for k in values}
        narrow = {int(k): share not in wilson(int(k), n) for k in values}
        missed |= np.asarray([outside[int(k)] for k in seen])
        once |= np.asarray([narrow[int(k)] for k in seen])

    assert missed.mean() <= 0.05
    assert once.mean() > 0.2


def test_means_of_any_distribution_are_covered_at_all_looks() -> None:
    """2,000 streams of a skewed variable, from 100 rows on."""
    random = np.random.default_rng(5)
    rows = random.exponential(size=(2000, 1500))
    n = np.arange(1, 1501)
    mean = rows.cumsum(axis=1) / n
    variance = (rows**2).cumsum(axis=1) / n - mean**2
    missed = np.zeros(2000, dtype=bool)
    for look in range(100, 1501, 20):
        half = np.asarray(
            [mean_sequence(0.0, v, look).upper for v in variance[:, look - 1].tolist()]
        )
        missed |= np.abs(mean[:, look - 1] - 1) > half

    assert missed.mean() <= 0.06


def test_weighted_outcomes_are_bounded_from_the_first_row_on() -> None:
    """Rows chosen with probability 0.25 weigh 4; 300 streams, a look at every row."""
    random = np.random.default_rng(2)
    missed, widths = 0, []
    for _ in range(300):
        right, chosen = random.random(800) < 0.8, random.random(800) < 0.25
        state = BoundedMean(bound=4.0)
        state.add(np.where(chosen & right, 4.0, 0.0))
        missed += 0.8 not in state.interval
        widths.append(state.interval.upper - state.interval.lower)

    assert missed / 300 <= 0.05
    assert np.mean(widths) < 0.6


def test_a_value_beyond_its_bound_is_refused() -> None:
    """The proof needs the bound."""
    with pytest.raises(ValueError, match=r"outside of \[0, 2\]"):
        BoundedMean(bound=2.0).add(np.asarray([2.5]))
    assert np.isnan(BoundedMean().mean)
