# SPDX-License-Identifier: Apache-2.0
"""Dependence: intervals of what is measured in time, where neighbours are alike.

Requests that queue behind each other are slow together: a thousand of them say as much as a few
dozen independent ones. Windows of time that are long beside such a queue are nearly independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, nan, sqrt
from statistics import fmean, variance
from typing import Final

import numpy as np

from gateway.statistics.arrays import Values
from gateway.statistics.intervals import Interval
from gateway.statistics.special import beta_quantile

# C. Alexopoulos and A. F. Seila, "Output data analysis", 1998: 20 to 30 batches; more would be too
# short to be independent, fewer make the quantile of Student's t large.
BATCHES: Final = 20


def student_quantile(share: float, degrees: float) -> float:
    """The point below which *share* of Student's t with *degrees* of freedom lies."""
    if share == 0.5:
        return 0.0
    tail = min(share, 1 - share)
    x = beta_quantile(2 * tail, degrees / 2, 0.5)
    point = sqrt(degrees * (1 - x) / x) if x > 0 else inf
    return point if share > 0.5 else -point


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Of the mean that independent *values* have; unbounded for fewer than two."""
    if len(values) < 2:
        return Interval(-inf, inf)
    middle = fmean(values)
    factor = student_quantile((1 + level) / 2, len(values) - 1)
    half = factor * sqrt(variance(values, middle) / len(values))
    return Interval(middle - half, middle + half)


def batches(values: Values, count: int = BATCHES) -> Values:
    """*values* [n, ...] in their order, summed into batches of equal length.

    There are *count* to twice as many, or one for each value where these are fewer. What is left
    over at the beginning is dropped: it is nearest to the warm-up.
    """
    size = max(1, len(values) // count)
    whole = len(values) // size
    if not whole:
        return np.asarray(values, dtype=float)
    kept = values[len(values) - whole * size :]
    return np.asarray(kept.reshape(whole, size, *values.shape[1:]).sum(axis=1), dtype=float)


def share_interval(events: Values, totals: Values, *, level: float = 0.95) -> Interval:
    """Of the share of *events* [b] in *totals* [b], counted in independent batches.

    The ratio estimator with Student's t: W. G. Cochran, "Sampling Techniques", section 2.11.
    """
    total, n = float(totals.sum()), len(totals)
    if n < 2 or not total:
        return Interval(0.0, 1.0)
    share = float(events.sum()) / total
    residual = events - share * totals
    error = sqrt(n / (n - 1) * float((residual**2).sum())) / total
    half = student_quantile((1 + level) / 2, n - 1) * error
    return Interval(max(0.0, share - half), min(1.0, share + half))


def design_effect(sums: Values, squares: Values, counts: Values) -> float:
    """How many dependent values say as much as one independent one; at least 1.

    *sums*, *squares* and *counts* [b] are those of the values in each batch: the variance of the
    batches' means beside what independent values would give. L. Kish, "Survey Sampling", 1965.
    """
    total, n = float(counts.sum()), len(counts)
    if n < 2 or total < 2:
        return 1.0
    middle = float(sums.sum()) / total
    spread = float(squares.sum()) / total - middle**2
    if spread <= 0:
        return 1.0
    residual = sums - middle * counts
    return max(1.0, n / (n - 1) * float((residual**2).sum()) / (total * spread))


def block_bootstrap(
    values: Values,
    statistic: Callable[[Values], float],
    *,
    block: int,
    level: float = 0.95,
    resamples: int = 400,
    seed: int = 0,
) -> Interval:
    """Of *statistic*, from resampled runs of *block* neighbours of *values* [n, ...].

    The blocks overlap and wrap around: D. N. Politis and J. P. Romano, "A circular
    block-resampling procedure for stationary data", 1992.
    """
    n = len(values)
    if n < 2 * block:
        return Interval(nan, nan)
    random = np.random.default_rng(seed)
    steps = np.arange(block)
    found = []
    for _ in range(resamples):
        starts = random.integers(0, n, size=-(-n // block))
        places = (starts[:, None] + steps).ravel()[:n] % n
        found.append(statistic(values[places]))
    lower, upper = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(lower), float(upper))
