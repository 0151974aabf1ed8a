# SPDX-License-Identifier: Apache-2.0
"""Tails: what a number of requests proves about a percentile, without a law of their latency.

Early stopping follows MLPerf inference (LoadGen, "early stopping"): a percentile p is within its
bound when the share of requests beyond it is below 1 - p, and that is a question to the binomial
law alone. Its tail is the regularised incomplete beta function.
"""

from __future__ import annotations

from gateway.statistics.special import beta_cdf


def pass_chance(hits: float, misses: float, share: float) -> float:
    """How probable so few *misses* were if only *share* of all requests were hits.

    At or below 1 - c it is proven, with confidence c, that more than *share* are. Both counts may
    be effective ones, with fractions.
    """
    _check(share)
    return beta_cdf(share, hits, misses + 1) if hits > 0 else 1.0


def fail_chance(hits: float, misses: float, share: float) -> float:
    """How probable so many *misses* were if as much as *share* of all requests were hits.

    At or below 1 - c it is proven, with confidence c, that less than *share* are.
    """
    _check(share)
    return beta_cdf(1 - share, misses, hits + 1) if misses > 0 else 1.0


def hits_needed(misses: int, share: float, *, confidence: float = 0.99, drop: float = 0.0) -> int:
    """The fewest hits beside which *misses* still prove that *share* - *drop* are hits."""
    _check(share - drop)
    _check(confidence)
    high = 1
    while pass_chance(high, misses, share - drop) > 1 - confidence:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if pass_chance(middle, misses, share - drop) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _check(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"{share}: expected a share between 0 and 1, such as 0.99")
