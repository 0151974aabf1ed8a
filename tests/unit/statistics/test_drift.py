# SPDX-License-Identifier: Apache-2.0
"""Distances beside SciPy's, and thresholds that know how many rows there were."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance

from gateway.statistics.drift import Drift, chi_square, jensen_shannon, kolmogorov_smirnov, psi
from gateway.statistics.profile import NameProfile, NumberProfile
from gateway.statistics.sketch import QuantileSketch

FIRST = np.asarray([40, 30, 20, 10])
SECOND = np.asarray([25, 35, 20, 40])


def test_distances_are_those_of_their_definitions() -> None:
    """PSI by hand, the others by SciPy."""
    p, q = FIRST / 100, SECOND / 120

    assert psi(FIRST, SECOND).distance == pytest.approx(float(((q - p) * np.log(q / p)).sum()))
    assert jensen_shannon(FIRST, SECOND).distance == pytest.approx(
        distance.jensenshannon(p, q, base=2)
    )
    wanted = stats.chi2_contingency(np.stack((FIRST, SECOND)), correction=False)
    found = chi_square(FIRST, SECOND)
    assert found.p == pytest.approx(wanted.pvalue)
    assert found.distance == pytest.approx(np.sqrt(wanted.statistic / 220))
    assert kolmogorov_smirnov(FIRST, SECOND).distance == pytest.approx(
        np.abs(p.cumsum() - q.cumsum()).max()
    )


@pytest.mark.parametrize(
    ("n", "m", "quantile"), [(200, 1000, 0.10), (1000, 1000, 0.034), (10_000, 10_000, 0.0034)]
)
def test_what_chance_gives_is_known(n: int, m: int, quantile: float) -> None:
    """95 % quantiles of PSI over ten bins."""
    even = np.ones(10)

    assert psi(even * n / 10, even * m / 10).by_chance == pytest.approx(quantile, rel=0.02)


@pytest.mark.parametrize("test", [psi, jensen_shannon, chi_square, kolmogorov_smirnov])
@pytest.mark.parametrize(("n", "m"), [(300, 1000), (2000, 2000)])
def test_without_drift_one_comparison_in_twenty_is_beyond_chance(
    test: Callable[..., Drift], n: int, m: int
) -> None:
    """2,000 comparisons; at most so many for KS, whose limit is for numbers without bins."""
    random = np.random.default_rng(1)
    shares = np.linspace(0.5, 1.5, 10) / 10
    beyond = [
        test(a, b, floor=0.0).alarm
        for a, b in zip(
            random.multinomial(n, shares, 2000), random.multinomial(m, shares, 2000), strict=True
        )
    ]

    assert np.mean(beyond) <= 0.065
    if test is not kolmogorov_smirnov:
        assert np.mean(beyond) >= 0.035


@pytest.mark.parametrize("test", [psi, jensen_shannon, chi_square, kolmogorov_smirnov])
def test_a_small_shift_of_many_rows_is_real_and_does_not_matter(
    test: Callable[..., Drift],
) -> None:
    """Beyond chance, below the floor: no alarm. A large shift of many rows is one."""
    before = np.full(10, 100_000)
    little = before + np.linspace(-3000, 3000, 10)
    much = before * np.linspace(0.2, 1.8, 10)

    assert test(before, little).p < 0.001
    assert not test(before, little).alarm
    assert test(before, much).alarm


def test_few_rows_do_not_alarm_at_a_distance_that_chance_gives() -> None:
    """The usual threshold of 0.1 would."""
    random = np.random.default_rng(2)
    shares = np.full(10, 0.1)
    alarms = [psi(random.multinomial(1000, shares), random.multinomial(100, shares))
              for _ in range(500)]  # fmt: skip

    assert np.mean([one.distance > 0.1 for one in alarms]) > 0.3
    assert np.mean([one.alarm for one in alarms]) < 0.1


def counts(*bins: int) -> np.ndarray:
    """Counts by bin."""
    return np.asarray(bins)


def test_empty_bins_and_empty_sides() -> None:
    """A bin that is empty on both sides is none; a side without rows is an error."""
    assert psi(counts(10, 0, 0), counts(10, 0, 0)).distance == 0
    assert jensen_shannon(counts(10, 0, 5), counts(10, 0, 5)).p == 1
    assert np.isfinite(psi(counts(10, 10, 0), counts(10, 0, 10)).distance)
    with pytest.raises(ValueError, match="no rows to compare"):
        psi(counts(0, 0), counts(1, 2))
    with pytest.raises(ValueError, match="expected the same bins"):
        psi(counts(1, 2), counts(1, 2, 3))


def test_a_profile_counts_what_it_was_fitted_to_evenly() -> None:
    """Ten bins of a tenth each; what is not a number has its own."""
    random = np.random.default_rng(1)
    values = random.lognormal(size=5000)
    profile = NumberProfile.fit(values)
    profile.add(np.append(values, [np.nan, np.inf]))

    counts = profile.counts()
    assert counts[:-1].tolist() == [500.0] * 10
    assert counts[-1] == 2
    sketch = QuantileSketch()
    sketch.add(values)
    by_sketch = NumberProfile.of_sketch(sketch)
    by_sketch.add(values)
    assert np.abs(by_sketch.counts()[:-1] - 500).max() < 60


def test_names_that_are_not_known_are_counted_together() -> None:
    """A new category is drift too."""
    profile = NameProfile(known=["a", "b"])
    profile.add(np.asarray(["b", "a", "b", "new", "other"]))

    assert profile.counts().tolist() == [1, 2, 2]


def test_profiles_that_cannot_be_are_refused() -> None:
    """Nothing to fit, edges that do not grow, names twice."""
    with pytest.raises(ValueError, match="no finite number"):
        NumberProfile.fit(np.asarray([np.nan]))
    with pytest.raises(ValueError, match="do not grow"):
        NumberProfile(edges=[1, 1])
    with pytest.raises(ValueError, match="listed twice"):
        NameProfile(known=["a", "a"])
    with pytest.raises(ValueError, match="empty sketch"):
        NumberProfile.of_sketch(QuantileSketch())
