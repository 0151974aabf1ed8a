# SPDX-License-Identifier: Apache-2.0
"""Intervals: known values, and coverage over simulated rows."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from scipy import stats

from gateway.statistics.intervals import (
    Interval,
    clopper_pearson,
    enough,
    f_interval,
    labels_to_see,
    mean_interval,
    pairs_to_see,
    wilson,
)


def rounded(interval: Interval, digits: int = 3) -> tuple[float, float]:
    """For comparison with printed tables."""
    return round(interval.lower, digits), round(interval.upper, digits)


def test_printed_values() -> None:
    """20 of 20, and shares of 0.95 as tables give them."""
    assert rounded(wilson(20, 20)) == (0.839, 1.0)
    assert rounded(clopper_pearson(20, 20)) == (0.832, 1.0)
    assert rounded(wilson(95, 100)) == (0.888, 0.978)
    assert rounded(wilson(950, 1000)) == (0.935, 0.962)
    assert rounded(wilson(9500, 10000), 4) == (0.9456, 0.9541)


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 7), (7, 7), (480, 1000)])
def test_clopper_and_pearson_are_those_of_scipy(successes: int, n: int) -> None:
    """The exact interval, ends included."""
    wanted = stats.binomtest(successes, n).proportion_ci(method="exact")
    actual = clopper_pearson(successes, n)

    assert (actual.lower, actual.upper) == pytest.approx((wanted.low, wanted.high), abs=1e-10)


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 7), (7, 7), (480, 1000)])
def test_wilson_is_that_of_scipy(successes: int, n: int) -> None:
    """The score interval."""
    wanted = stats.binomtest(successes, n).proportion_ci(method="wilson")
    actual = wilson(successes, n)

    assert (actual.lower, actual.upper) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_nothing_known_is_any_share() -> None:
    """No rows, no statement."""
    assert wilson(0, 0) == clopper_pearson(0, 0) == Interval(0, 1)
    assert mean_interval(0.5, 0.1, 1) == Interval(-inf, inf)
    assert 0.3 in Interval(0.2, 0.4)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("n", [30, 200])
def test_coverage_is_what_it_says(share: float, n: int) -> None:
    """The probability of covering, summed over all outcomes: no simulation noise."""
    outcomes = np.arange(n + 1)
    weights = stats.binom.pmf(outcomes, n, share)
    covered = {
        name: sum(w for k, w in zip(outcomes, weights, strict=True) if share in make(int(k), n))
        for name, make in (("wilson", wilson), ("exact", clopper_pearson))
    }

    assert covered["exact"] >= 0.95
    assert covered["wilson"] >= 0.92


def test_f1_covers_by_way_of_jaccard() -> None:
    """2,000 simulated sets of 300 rows."""
    random = np.random.default_rng(7)
    cells = np.asarray([0.30, 0.05, 0.08, 0.57])  # hit, false alarm, miss, rest
    truth = 2 * 0.30 / (2 * 0.30 + 0.05 + 0.08)
    drawn = random.multinomial(300, cells, size=2000)
    covered = np.mean([truth in f_interval(h, h + a, h + m) for h, a, m, _ in drawn.tolist()])

    assert 0.935 <= covered <= 0.97


def test_the_labels_that_are_needed() -> None:
    """The numbers of the field's usual formula."""
    assert round(labels_to_see(0.01, 0.95)) == pytest.approx(2937, abs=1)
    assert round(labels_to_see(0.02, 0.95)) == pytest.approx(734, abs=1)
    assert round(labels_to_see(0.01, 0.90)) == pytest.approx(5564, abs=1)
    assert round(pairs_to_see(0.01, 0.02)) == pytest.approx(1237, abs=1)
    assert round(pairs_to_see(0.01, 0.05)) == pytest.approx(3091, abs=1)


def test_few_rows_carry_no_verdict() -> None:
    """100 at a level of 0.95, 500 at 0.99."""
    assert not enough(99)
    assert enough(100.1)
    assert not enough(400, level=0.99)
