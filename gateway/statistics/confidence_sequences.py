# SPDX-License-Identifier: Apache-2.0
"""Confidence sequences: intervals that hold at every moment at once, however often one looks.

A dashboard is looked at all the time, and an interval for one look is then wrong far more often
than its level says. These cover at all times together: P(some t: the truth is outside) <= alpha.
The price is about twice the width.
"""

from __future__ import annotations

from math import inf, log, nan, sqrt

import numpy as np

from gateway.statistics.arrays import Floats
from gateway.statistics.intervals import ANY_SHARE, Interval
from gateway.statistics.special import log_beta, solve


def share_sequence(
    successes: float, n: float, *, level: float = 0.95, prior: float = 0.5
) -> Interval:
    """The shares p that a Beta(*prior*, *prior*) mixture of coins does not refute at *level*.

    All p with B(a + s, a + f) / (B(a, a) p^s (1 - p)^f) < 1 / alpha: the mixture's likelihood ratio
    is a nonnegative martingale under p (J. Ville, 1939; H. Robbins, 1970). Independent rows;
    effective numbers of rows make it an approximation. [0, 1] where *n* is 0.
    """
    alpha = _alpha(level)
    if n <= 0:
        return ANY_SHARE
    failures = n - successes
    limit = log_beta(prior + successes, prior + failures) - log_beta(prior, prior) + log(alpha)

    def refuted(p: float) -> float:
        """Positive where *p* is outside."""
        hits = successes * log(p) if successes else 0.0
        misses = failures * log(1 - p) if failures else 0.0
        return limit - hits - misses

    share = successes / n
    # refuted() falls from 0 to the observed share and grows from there to 1.
    lower = solve(lambda p: -refuted(p) if p > 0 else -1.0, 0.0, share) if successes else 0.0
    upper = solve(lambda p: refuted(p) if p < 1 else 1.0, share, 1.0) if failures else 1.0
    return Interval(lower, upper)


def upper_share(successes: float, n: float, *, alpha: float = 0.05) -> float:
    """An upper bound of a share at all times, one-sided at *alpha*."""
    # Two-sided, so that it errs on the safe side: the mixture bets on smaller shares too.
    return share_sequence(successes, n, level=1 - alpha).upper


def mean_sequence(
    mean: float, variance: float, n: float, *, level: float = 0.95, tuned_for: float = 500.0
) -> Interval:
    """The asymptotic confidence sequence of any mean, narrowest at about *tuned_for* rows.

    I. Waudby-Smith et al., "Time-uniform central limit theory and asymptotic confidence sequences",
    2024: mean +- sd sqrt(2 (n r^2 + 1) / (n^2 r^2) ln(sqrt(n r^2 + 1) / alpha)). It holds from
    some hundred rows on, not for the first few.
    """
    alpha = _alpha(level)
    if n < 2:
        return Interval(-inf, inf)
    r2 = (-2 * log(alpha) + log(-2 * log(alpha)) + 1) / tuned_for
    grown = n * r2 + 1
    half = sqrt(max(variance, 0.0)) * sqrt(2 * grown / (n * n * r2) * log(sqrt(grown) / alpha))
    return Interval(mean - half, mean + half)


class BoundedMean:
    """A confidence sequence of the mean of values in [0, *bound*], by empirical Bernstein bets.

    I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting", 2024,
    theorem 2. Nothing is asymptotic: for weighted outcomes w y with w <= *bound*, it is valid from
    the first row on. Rows count in the order in which they come, as each bet is made before its
    row.
    """

    def __init__(self, *, bound: float = 1.0, level: float = 0.95) -> None:
        if not bound > 0:
            raise ValueError(f"bound {bound}: expected more than 0")
        self._alpha, self._bound = _alpha(level), bound
        self._n = 0
        self._sum = self._spread = self._bets = self._weighted = self._cost = 0.0
        self._best = Interval(0.0, bound)

    def add(self, values: Floats) -> None:
        """Take *values* [n] in their order; raises ValueError for one outside [0, bound]."""
        array = np.asarray(values, dtype=np.float64) / self._bound
        if array.size and not (array.min() >= 0 and array.max() <= 1):
            raise ValueError(f"a value outside of [0, {self._bound:g}]")
        for value in array.tolist():
            mean = (0.5 + self._sum) / (self._n + 1)
            variance = (0.25 + self._spread) / (self._n + 1)
            t = self._n + 1
            bet = min(sqrt(2 * log(2 / self._alpha) / (variance * t * log(t + 1))), 0.5)
            self._bets += bet
            self._weighted += bet * value
            self._cost += 4 * (value - mean) ** 2 * (-log(1 - bet) - bet) / 4
            self._n, self._sum = t, self._sum + value
            self._spread += (value - (0.5 + self._sum) / (t + 1)) ** 2
            half = (log(2 / self._alpha) + self._cost) / self._bets
            middle = self._weighted / self._bets
            # The intersection over all times covers as well as each.
            lower = max(self._best.lower, (middle - half) * self._bound)
            upper = min(self._best.upper, (middle + half) * self._bound)
            self._best = Interval(lower, upper)

    @property
    def mean(self) -> float:
        """The mean so far; nan before the first value."""
        return self._sum / self._n * self._bound if self._n else nan

    @property
    def interval(self) -> Interval:
        """What all times up to now leave; empty (lower above upper) if the stream has drifted."""
        return self._best


def _alpha(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level {level}: expected a share between 0 and 1, such as 0.95")
    return 1 - level
