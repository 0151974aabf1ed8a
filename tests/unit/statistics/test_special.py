# SPDX-License-Identifier: Apache-2.0
"""Special functions beside SciPy's."""

from __future__ import annotations

import pytest
from scipy import special, stats

from gateway.statistics.special import (
    beta_cdf,
    beta_quantile,
    binomial_half_tail,
    chi_square_quantile,
    chi_square_tail,
    kolmogorov_tail,
    log_beta,
    log_mean_exp,
    z_value,
)

PAIRS = [(0.5, 0.5), (1, 1), (3, 9), (0.01, 5), (40, 2), (500, 500), (9500.5, 499.5), (2e6, 1e5)]


@pytest.mark.parametrize(("a", "b"), PAIRS)
@pytest.mark.parametrize("share", [0.001, 0.025, 0.3, 0.5, 0.9, 0.975, 0.9999])
def test_beta_is_that_of_scipy(a: float, b: float, share: float) -> None:
    """From half a row to millions of rows."""
    x = special.betaincinv(a, b, share)

    assert beta_cdf(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-7, abs=1e-12)
    assert beta_quantile(share, a, b) == pytest.approx(x, rel=1e-7, abs=1e-50)
    assert log_beta(a, b) == pytest.approx(special.betaln(a, b), rel=1e-9, abs=1e-9)


def test_beta_ends_are_exact() -> None:
    """Outside of its support there is nothing."""
    assert (beta_cdf(0, 2, 3), beta_cdf(1, 2, 3), beta_cdf(-1, 2, 3)) == (0, 1, 0)


@pytest.mark.parametrize("degrees", [1, 2, 9, 50, 1000])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.95, 0.9999])
def test_chi_square_is_that_of_scipy(degrees: int, share: float) -> None:
    """Tail and quantile."""
    x = stats.chi2.ppf(share, degrees)

    assert chi_square_tail(x, degrees) == pytest.approx(stats.chi2.sf(x, degrees), rel=1e-9)
    assert chi_square_quantile(share, degrees) == pytest.approx(x, rel=1e-9)
    assert chi_square_tail(0, degrees) == 1


@pytest.mark.parametrize("x", [0.1, 0.4, 0.9, 0.999, 1.0, 1.36, 3.0])
def test_kolmogorov_is_that_of_scipy(x: float) -> None:
    """On both sides of where the series change."""
    assert kolmogorov_tail(x) == pytest.approx(special.kolmogorov(x), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (5, 20), (10, 40), (40, 40), (-1, 3), (300, 700)])
def test_fair_coins_are_those_of_scipy(k: int, n: int) -> None:
    """By the beta function."""
    assert binomial_half_tail(k, n) == pytest.approx(stats.binom.cdf(k, n, 0.5), rel=1e-9)


def test_a_mean_of_exponentials_does_not_overflow() -> None:
    """Logarithms beyond what exp can take."""
    assert log_mean_exp([1000.0, 1000.0]) == 1000.0
    assert log_mean_exp([float("-inf")] * 2) == float("-inf")


@pytest.mark.parametrize("level", [0, 1, 95, -0.1])
def test_a_level_that_is_no_share_is_refused(level: float) -> None:
    """95 is a common slip."""
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        z_value(level)
