# SPDX-License-Identifier: Apache-2.0
"""Special functions: the few that intervals and tests need, without SciPy.

Docs: docs/decisions/0033. Formulas: W. H. Press et al., "Numerical Recipes", chapter 6: continued
fractions by Lentz's method, series where they converge faster.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, lgamma, log, log1p, pi, sqrt
from statistics import NormalDist
from typing import Final

_TINY: Final = 1e-300
_CLOSE: Final = 1e-16
# A continued fraction needs about sqrt(a + b) steps: so many reach beyond 10^10 rows.
_MOST_STEPS: Final = 1_000_000


def z_value(level: float) -> float:
    """The quantile of the standard normal that a two-sided interval at *level* takes."""
    if not 0 < level < 1:
        raise ValueError(f"level {level}: expected a share between 0 and 1, such as 0.95")
    return NormalDist().inv_cdf((1 + level) / 2)


def log_beta(a: float, b: float) -> float:
    """Ln B(a, b) for positive *a* and *b*."""
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def beta_cdf(x: float, a: float, b: float) -> float:
    """The share of Beta(*a*, *b*) below *x*: the regularised incomplete beta function."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = exp(a * log(x) + b * log1p(-x) - log_beta(a, b))
    # Each tail converges fast on its own side of the mean only.
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(x, a, b) / a
    return 1 - front * _beta_fraction(1 - x, b, a) / b


def _beta_fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, _inverse(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        step = 1.0
        for term in (even, odd):
            d = _inverse(1 + term * d)
            c = 1 + term / (c or _TINY)
            step = c * d
            value *= step
        if abs(step - 1) < _CLOSE * 4:
            return value
    raise ArithmeticError(f"incomplete beta of ({x}, {a}, {b}) does not converge")


def _inverse(value: float) -> float:
    return 1 / (value if abs(value) > _TINY else _TINY)


def beta_quantile(share: float, a: float, b: float) -> float:
    """The point below which *share* of Beta(*a*, *b*) lies."""
    return solve(lambda x: beta_cdf(x, a, b) - share, 0.0, 1.0)


def solve(function: Callable[[float], float], low: float, high: float) -> float:
    """Where the growing *function* crosses 0 between *low* and *high*, to the last digits.

    An end is the answer where it never crosses. Bisection: it cannot fail on a flat stretch.
    """
    for _ in range(200):
        middle = (low + high) / 2
        if middle in {low, high} or high - low < _CLOSE * abs(middle):
            break
        if function(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def chi_square_tail(x: float, degrees: float) -> float:
    """P(X > *x*) for a chi-square of *degrees*: the upper incomplete gamma function."""
    if x <= 0:
        return 1.0
    a, x = degrees / 2, x / 2
    front = exp(-x + a * log(x) - lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while term > total * _CLOSE:
            n += 1
            term *= x / n
            total += term
        return 1 - front * total
    b = x + 1 - a
    c, d = 1 / _TINY, 1 / b
    value = d
    for i in range(1, _MOST_STEPS):
        term = -i * (i - a)
        b += 2
        d = _inverse(term * d + b)
        c = b + term / c
        step = d * c
        value *= step
        if abs(step - 1) < _CLOSE * 4:
            return front * value
    raise ArithmeticError(f"incomplete gamma of ({a}, {x}) does not converge")


def chi_square_quantile(share: float, degrees: float) -> float:
    """The point below which *share* of a chi-square of *degrees* lies."""
    high = degrees + 10
    while 1 - chi_square_tail(high, degrees) < share:
        high *= 2
    return solve(lambda x: 1 - chi_square_tail(x, degrees) - share, 0.0, high)


def kolmogorov_tail(x: float) -> float:
    """P(K > *x*) for Kolmogorov's limit distribution; each series where it converges fast."""
    if x <= 0:
        return 1.0
    if x < 1:
        terms = (exp(-((2 * k - 1) ** 2) * pi * pi / (8 * x * x)) for k in range(1, 20))
        return 1 - sqrt(2 * pi) / x * sum(terms)
    return 2 * sum((1 if k % 2 else -1) * exp(-2 * k * k * x * x) for k in range(1, 20))


def binomial_half_tail(k: int, n: int) -> float:
    """P(X <= *k*) for *n* throws of a fair coin."""
    if k < 0:
        return 0.0
    return 1.0 if k >= n else beta_cdf(0.5, n - k, k + 1)


def log_mean_exp(logs: list[float]) -> float:
    """Ln of the mean of exp of *logs*, without overflow; -inf for a mean of 0."""
    most = max(logs)
    if most == -inf:
        return -inf
    return most + log(sum(exp(value - most) for value in logs) / len(logs))
