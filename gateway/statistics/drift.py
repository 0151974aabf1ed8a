# SPDX-License-Identifier: Apache-2.0
"""Drift: how far a distribution has moved from a reference, and whether chance explains it.

A distance means nothing without the numbers of rows: without any drift PSI is about (1/n + 1/m)
times a chi-square, 0.10 for 200 rows beside 1,000 in ten bins. So each distance alarms above the
larger of a floor, below which it does not matter in practice, and what chance gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import Final

import numpy as np

from gateway.statistics.arrays import Floats, Values, ratio
from gateway.statistics.special import chi_square_quantile, chi_square_tail, kolmogorov_tail

# PSI of 0.1 is the convention of credit scoring for a shift that deserves a look.
_FLOORS: Final = {"psi": 0.1, "js": 0.1, "ks": 0.1, "chi_square": 0.1}


@dataclass(frozen=True, slots=True)
class Drift:
    """A *distance* from the reference, and the *threshold* above which it alarms.

    *by_chance* is what a share of 1 - alpha of comparisons without drift stay below, and *p* the
    share of them that reach this distance. *rows* are those that were compared.
    """

    test: str
    distance: float
    by_chance: float
    threshold: float
    p: float
    rows: float

    @property
    def alarm(self) -> bool:
        """Whether it is more than chance and more than the floor."""
        return self.distance > self.threshold


def psi(
    reference: Values, current: Values, *, alpha: float = 0.05, floor: float = _FLOORS["psi"]
) -> Drift:
    """Population stability index of counts by bin, both [bins]: sum (q - p) ln(q / p).

    Without drift (1/n + 1/m) chi-square of bins - 1: B. Yurdakul, "Statistical properties of
    population stability index", 2018. Half a row stands in for an empty bin. The limit needs some
    20 rows a bin: with 5 it alarms 9 times in 100 instead of 5, where `chi_square` still holds.
    """
    p, q, n, m, bins = _shares(reference, current, smooth=True)
    distance = float(((q - p) * np.log(q / p)).sum())
    by_chance, tail = _chance(distance, 1 / n + 1 / m, bins - 1, alpha)
    return Drift("psi", distance, by_chance, max(floor, by_chance), tail, m)


def jensen_shannon(
    reference: Values, current: Values, *, alpha: float = 0.05, floor: float = _FLOORS["js"]
) -> Drift:
    """Jensen-Shannon distance of counts by bin, in bits: from 0 to 1.

    J. Lin, "Divergence measures based on the Shannon entropy", 1991. For small drift its square in
    nats is an eighth of PSI, and so is what chance gives.
    """
    p, q, n, m, bins = _shares(reference, current, smooth=False)
    middle = (p + q) / 2
    nats = (_relative(p, middle) + _relative(q, middle)) / 2
    distance = sqrt(max(nats, 0.0) / log(2))
    index, tail = _chance(8 * nats, 1 / n + 1 / m, bins - 1, alpha)
    by_chance = sqrt(index / (8 * log(2)))
    return Drift("js", distance, by_chance, max(floor, by_chance), tail, m)


def _relative(p: Floats, q: Floats) -> float:
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum())


def chi_square(
    reference: Values, current: Values, *, alpha: float = 0.05, floor: float = _FLOORS["chi_square"]
) -> Drift:
    """Pearson's test that both counts [bins] have one distribution.

    The distance is Cramér's V, which does not grow with the rows as the statistic does; bins
    that are empty on both sides are left out.
    """
    p, q, n, m, bins = _shares(reference, current, smooth=False)
    pooled = (n * p + m * q) / (n + m)
    statistic = float(ratio((p - q) ** 2, pooled, 0.0).sum()) * n * m / (n + m)
    limit, tail = _chance(statistic, 1.0, bins - 1, alpha)
    distance, by_chance = sqrt(statistic / (n + m)), sqrt(limit / (n + m))
    return Drift("chi_square", distance, by_chance, max(floor, by_chance), tail, m)


def kolmogorov_smirnov(
    reference: Values, current: Values, *, alpha: float = 0.05, floor: float = _FLOORS["ks"]
) -> Drift:
    """The greatest distance of the two distribution functions, of counts by ordered bin, [bins].

    Within bins it sees nothing, so it is the exact statistic of the binned values; chance is that
    of Smirnov's limit, which is on the safe side for bins.
    """
    p, q, n, m, _ = _shares(reference, current, smooth=False, keep=True)
    distance = float(np.abs(np.cumsum(p) - np.cumsum(q)).max())
    size = sqrt(n * m / (n + m))
    by_chance = sqrt(-log(alpha / 2) / 2) / size
    tail = kolmogorov_tail(distance * size)
    return Drift("ks", distance, by_chance, max(floor, by_chance), tail, m)


def _chance(index: float, noise: float, degrees: int, alpha: float) -> tuple[float, float]:
    """The 1 - *alpha* quantile of *noise* times a chi-square, and P(it is *index* or more)."""
    if not degrees:
        return 0.0, 1.0
    return noise * chi_square_quantile(1 - alpha, degrees), chi_square_tail(index / noise, degrees)


def _shares(
    reference: Values, current: Values, *, smooth: bool, keep: bool = False
) -> tuple[Floats, Floats, float, float, int]:
    """Shares of either side, rows of either side, and bins that are not empty on both."""
    first, second = np.asarray(reference, dtype=float), np.asarray(current, dtype=float)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            f"counts of shape {list(first.shape)} and {list(second.shape)}; expected the same bins"
        )
    n, m = float(first.sum()), float(second.sum())
    if not n or not m:
        raise ValueError("no rows to compare: both sides need some")
    if not keep:
        some = (first + second) > 0
        first, second = first[some], second[some]
    bins = len(first)
    if smooth:
        # Beside an empty bin the index is infinite, whatever the rows.
        first, second = np.maximum(first, 0.5), np.maximum(second, 0.5)
    return first / first.sum(), second / second.sum(), n, m, bins
