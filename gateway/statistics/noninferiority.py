# SPDX-License-Identifier: Apache-2.0
"""Non-inferiority: whether a candidate is worse by less than a margin, on rows fixed beforehand.

For one look at a whole set. `comparison` and `betting` decide of streams that are looked at again
and again, and need two to three times as many rows for that.
"""

from __future__ import annotations

from math import ceil, inf, log, log1p, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np

from gateway.statistics.arrays import Floats
from gateway.statistics.intervals import clopper_pearson, pairs_to_see
from gateway.statistics.special import beta_quantile

# The chance that the true share of differing rows lies outside of where it is looked for; it is
# added to the p-value, so that the test stays valid.
_OUTSIDE: Final = 1e-4
# Above so many differing rows the score test is exact enough, and the exact one slow.
_FEW: Final = 400
# Shares of differing rows that are tried; the p-value is smooth in between.
_GRID: Final = 48
# Equal scores differ by so much in their last digits.
_ROUNDING: Final = 1e-9


def most_disagreement(differ: int, rows: int, *, alpha: float = 0.05) -> float:
    """The share of rows, at most, on which two models differ: the one-sided exact upper bound.

    A model is worse than another on no more rows than it differs on, so a bound below the margin
    proves non-inferiority without one label.
    """
    if rows == 0 or differ >= rows:
        return 1.0
    return beta_quantile(1 - alpha, differ + 1, rows - differ)


def score(b: Floats | float, c: Floats | float, n: int, *, margin: float) -> Floats:
    """The score statistic of "worse by *margin*"; the more negative, the clearer it is not.

    *b* rows of *n* only the old model has right, *c* only the candidate. The variance is that
    under the claim: T. Tango, "Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design", 1998.
    """
    old, new = np.asarray(b, dtype=np.float64), np.asarray(c, dtype=np.float64)
    half = ((old + new) - margin * (2 * n - old + new)) / 2
    share = (half + np.sqrt(half * half + 2 * n * new * margin * (1 - margin))) / (2 * n)
    variance = n * (2 * np.maximum(share, 0) + margin * (1 - margin))
    value: Floats = (old - new - n * margin) / np.sqrt(variance)
    return value


def p_value(b: int, c: int, n: int, *, margin: float) -> float:
    """The chance of evidence as good as this if the candidate were worse by *margin* of rows.

    Exact: every table that is no worse by the score counts, at the least favourable share of
    differing rows that the data leave open (R. L. Berger and D. D. Boos, "P values maximized over
    a confidence set for the nuisance parameter", 1994). Beyond 400 differing rows it is the score
    test's. Raises ValueError for a margin outside (0, 1) or counts above *n*.
    """
    return _tail(b, c, n, margin, worse=False)


def harm_p_value(b: int, c: int, n: int, *, margin: float) -> float:
    """The mirror of `p_value`: how likely such losses are if it is not so much worse.

    At alpha it is shown to be worse by more than *margin* of rows.
    """
    return _tail(b, c, n, margin, worse=True)


def _tail(b: int, c: int, n: int, margin: float, *, worse: bool) -> float:
    if not 0 < margin < 1:
        raise ValueError(f"margin {margin:g}: expected a share between 0 and 1, such as 0.01")
    if min(b, c) < 0 or b + c > n:
        raise ValueError(f"{b} and {c} differing rows of {n}")
    if n == 0 or (worse and b - c <= n * margin):
        return 1.0
    seen = float(score(b, c, n, margin=margin))
    if b + c > _FEW:
        return NormalDist().cdf(-seen if worse else seen)
    around = clopper_pearson(b + c, n, level=1 - _OUTSIDE)
    low, high = max(margin, around.lower), around.upper
    if high <= margin:
        return _OUTSIDE
    wins, losses, ways = _as_clear(n, seen, margin=margin, differ=_reach(high, n), worse=worse)
    most = 0.0
    for share in np.linspace(low, high, _GRID).tolist():
        # The least favourable candidate is worse by just the margin.
        chance = _powers((share + margin) / 2, wins) + _powers((share - margin) / 2, losses)
        logs = ways + chance + _powers(1 - share, n - wins - losses)
        most = max(most, float(np.exp(logs).sum()))
    return min(1.0, most + _OUTSIDE)


def _reach(share: float, n: int) -> int:
    """A number of differing rows that is hardly ever exceeded at *share* of *n*."""
    spread = sqrt(n * share * (1 - share))
    return min(n, ceil(n * share + 8 * spread + 12))


def _as_clear(
    n: int, seen: float, *, margin: float, differ: int, worse: bool
) -> tuple[Floats, Floats, Floats]:
    """All tables of *n* rows, up to *differ* differing ones, whose score is *seen* or beyond.

    What the old model wins, what the candidate wins, and the logarithm of the number of ways.
    """
    old, new = np.mgrid[0 : differ + 1, 0 : differ + 1].reshape(2, -1).astype(np.float64)
    inside = old + new <= differ
    old, new = old[inside], new[inside]
    sign = -1 if worse else 1
    clear = sign * score(old, new, n, margin=margin) <= sign * seen + _ROUNDING
    old, new = old[clear], new[clear]
    factorials = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1)))))
    at = old.astype(np.int64), new.astype(np.int64), (n - old - new).astype(np.int64)
    ways: Floats = factorials[n] - sum(factorials[each] for each in at)
    return old, new, ways


def _powers(share: float, counts: Floats) -> Floats:
    """The logarithm of *share* to the power of *counts*; 0 to the power of 0 is 1."""
    if share > 0:
        return counts * log(share)
    return np.where(counts > 0, -inf, 0.0)


def rows_to_prove(
    b: int, c: int, n: int, *, margin: float, alpha: float = 0.05, power: float = 0.8
) -> float:
    """How many labelled rows would prove it, with *power*, if more of them were like these.

    Infinite where the candidate has lost as much as the margin already. With no differing row it
    is the fewest that could: (1 - margin)^rows <= alpha.
    """
    least = ceil(log(alpha) / log1p(-margin))
    if n == 0 or b + c == 0:
        return least
    drop = (b - c) / n
    if drop >= margin:
        return inf
    spread = (b + c) / n - drop * drop
    return max(least, ceil(pairs_to_see(margin - drop, spread, alpha=alpha, power=power)))
