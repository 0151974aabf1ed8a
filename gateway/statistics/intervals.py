# SPDX-License-Identifier: Apache-2.0
"""Intervals of shares and means, each for one look at a number of rows that was fixed before.

For figures that are looked at again and again see `confidence_sequences`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, nan, sqrt
from typing import Literal

from gateway.statistics.special import beta_quantile, z_value


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the true value lies, at the level that was asked for."""

    lower: float
    upper: float

    def __contains__(self, value: float) -> bool:
        return self.lower <= value <= self.upper


ANY_SHARE = Interval(0.0, 1.0)


def wilson(successes: float, n: float, *, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share; [0, 1] where *n* is 0.

    *n* may be an effective number of rows. Source: E. B. Wilson, "Probable inference, the law of
    succession, and statistical inference", 1927.
    """
    z = z_value(level)
    if n == 0:
        return ANY_SHARE
    share = successes / n
    shrink = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * sqrt(max(share * (1 - share), 0) / n + z * z / (4 * n * n))
    # At the ends rounding would leave a share just outside of its own interval.
    lower = 0.0 if successes <= 0 else max(0.0, centre - half)
    upper = 1.0 if successes >= n else min(1.0, centre + half)
    return Interval(lower, upper)


def clopper_pearson(successes: float, n: float, *, level: float = 0.95) -> Interval:
    """The exact interval of a share: it covers at least at *level*, whatever the share is.

    Source: C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits", 1934.
    """
    z_value(level)
    if n == 0:
        return ANY_SHARE
    tail = (1 - level) / 2
    failures = n - successes
    lower = beta_quantile(tail, successes, failures + 1) if successes > 0 else 0.0
    upper = beta_quantile(1 - tail, successes + 1, failures) if failures > 0 else 1.0
    return Interval(lower, upper)


Method = Literal["wilson", "clopper_pearson"]


def share_interval(
    successes: float, n: float, *, level: float = 0.95, how: Method = "wilson"
) -> Interval:
    """The interval of a share by the method that was asked for."""
    return (wilson if how == "wilson" else clopper_pearson)(successes, n, level=level)


def f_interval(
    hit: float,
    predicted: float,
    true: float,
    *,
    level: float = 0.95,
    scale: float = 1.0,
    how: Method = "wilson",
) -> Interval:
    """The interval of F1 by way of Jaccard's index J, since F1 = 2J / (1 + J) only grows with J.

    *hit* of the *predicted* and of the *true* rows are the same; given their union, they are
    binomial. *scale* turns weights into effective rows.
    """
    union = predicted + true - hit
    jaccard = share_interval(hit * scale, union * scale, level=level, how=how)
    return Interval(
        2 * jaccard.lower / (1 + jaccard.lower), 2 * jaccard.upper / (1 + jaccard.upper)
    )


def mean_interval(mean: float, variance: float, n: float, *, level: float = 0.95) -> Interval:
    """The normal interval of a mean of *n* rows with *variance*; without bounds below 2 rows."""
    z = z_value(level)
    if n < 2 or not isfinite(mean) or not isfinite(variance):
        return Interval(-inf, inf)
    half = z * sqrt(max(variance, 0) / n)
    return Interval(mean - half, mean + half)


def enough(n: float, *, level: float = 0.95) -> bool:
    """Whether *n* rows carry a verdict: below max(30, 5 / (1 - level)) nothing is coloured."""
    return n >= max(30.0, 5 / (1 - level))


def labels_to_see(drop: float, share: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """How many labels show, with *power* and one-sided at *alpha*, that *share* fell by *drop*.

    (z_a + z_b)^2 p (1 - p) / D^2, for a plain test at one look.
    """
    return (_one_sided(alpha) + _one_sided(1 - power)) ** 2 * share * (1 - share) / drop**2


def pairs_to_see(
    margin: float, disagreement: float, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """How many paired rows show that a candidate is not worse by *margin*.

    (z_a + z_b)^2 * disagreement / margin^2: only rows on which the two differ carry noise.
    """
    return (_one_sided(alpha) + _one_sided(1 - power)) ** 2 * disagreement / margin**2


def _one_sided(alpha: float) -> float:
    return z_value(1 - 2 * alpha) if alpha < 0.5 else nan
