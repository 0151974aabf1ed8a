# SPDX-License-Identifier: Apache-2.0
"""What a number of requests proves about a percentile."""

from __future__ import annotations

import pytest
from scipy import stats

from gateway.statistics.tails import (
    fail_chance,
    hits_needed,
    pass_chance,
)

# Misses and the total of queries that MLPerf's early stopping asks for, at 99 % confidence.
TOTALS = {
    0.90: {0: 44, 1: 64, 2: 81, 5: 127, 10: 197, 50: 681, 100: 1_246},
    0.95: {0: 90, 1: 130, 2: 165, 5: 259, 10: 398, 50: 1_372, 100: 2_504},
    0.99: {0: 459, 1: 662, 2: 838, 5: 1_307, 10: 2_010, 50: 6_898, 100: 12_571},
    0.999: {0: 4_603, 1: 6_636, 2: 8_403},
}
ROWS = [(share, misses, total) for share, row in TOTALS.items() for misses, total in row.items()]


@pytest.mark.parametrize(("share", "misses", "total"), ROWS)
def test_stops_at_the_published_totals(share: float, misses: int, total: int) -> None:
    """Exactly so many queries are enough, and one fewer are not."""
    assert hits_needed(misses, share) + misses == total
    assert pass_chance(total - misses, misses, share) <= 0.01
    assert pass_chance(total - misses - 1, misses, share) > 0.01


@pytest.mark.parametrize("share", [0.9, 0.99, 0.999])
@pytest.mark.parametrize(("n", "misses"), [(10, 3), (500, 20), (20_000, 300)])
def test_chances_are_binomial_tails(share: float, n: int, misses: int) -> None:
    """The proof of failure is the same question from the other end."""
    law = stats.binom(n, 1 - share)
    assert pass_chance(n - misses, misses, share) == pytest.approx(law.cdf(misses), rel=1e-6)
    assert fail_chance(n - misses, misses, share) == pytest.approx(law.sf(misses - 1), rel=1e-6)


def test_nothing_is_proven_by_nothing() -> None:
    """No hit proves a pass and no miss proves a failure."""
    assert pass_chance(0, 0, 0.99) == 1
    assert fail_chance(1000, 0, 0.99) == 1


@pytest.mark.parametrize("share", [0, 1, 99])
def test_refuses_what_is_no_share(share: float) -> None:
    """99 is no percentile here, 0.99 is."""
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        hits_needed(0, share)
