# SPDX-License-Identifier: Apache-2.0
"""Betting: tests that may be looked at after every row, by the wealth of a bet against a claim.

Who bets against a true claim does not get rich: wealth that starts at 1 and is fair under the claim
ever reaches 1 / alpha with probability at most alpha (J. Ville, 1939). So a decision at wealth
1 / alpha is wrong with probability at most alpha, at whatever moment it is taken.
"""

from __future__ import annotations

from math import exp, inf, log
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import numpy as np

from gateway.statistics.arrays import Floats, Values, finite, pack_array, unpack_array
from gateway.statistics.special import beta_cdf, log_beta, log_mean_exp, solve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A number of rows, or one for each of many streams.
Count: TypeAlias = "Values | float"
# Bets from timid to bold, in shares of the boldest that cannot lose everything.
_BETS: Final = np.geomspace(0.001, 0.98, 24)
# Beyond this exp overflows; such a wealth has decided long ago.
_MOST: Final = 700.0


def mcnemar(b: float, c: float, *, prior: float = 0.5) -> float:
    """The e-value against "both models err as often", two-sided.

    *b* rows only the live model has right, *c* only the candidate: under the claim each is the
    throw of a fair coin. ln E = (b + c) ln 2 + ln B(a + b, a + c) - ln B(a, a), a Beta(a, a)
    mixture.
    """
    return _exp((b + c) * log(2) + log_beta(prior + b, prior + c) - log_beta(prior, prior))


def mcnemar_better(b: float, c: float, *, prior: float = 0.5) -> float:
    """The e-value against "the candidate is not better": the mixture of coins above 1/2 only."""
    # Of the two-sided mixture, twice the part on which the candidate wins.
    share = 1 - beta_cdf(0.5, prior + c, prior + b)
    two_sided = (b + c) * log(2) + log_beta(prior + b, prior + c) - log_beta(prior, prior)
    return _exp(two_sided + log(2 * share)) if share > 0 else 0.0


def always_valid_p(highest: float) -> float:
    """The p-value of the *highest* e-value so far, valid whenever one looks."""
    return min(1.0, 1 / highest) if highest > 0 else 1.0


class MeanAbove:
    """The wealth of bets against "the mean of x is at most *claim*", for x in [*low*, *high*].

    K = the mean over lambda of prod(1 + lambda (x_i - claim)), lambda in [0, 1 / (claim - low)):
    A. Ramdas and others, "Game-theoretic statistics and safe anytime-valid inference", 2023.
    Bets are fixed beforehand, so that the wealth depends on which values came and not on their
    order, and processes add theirs up. *claim* -m with x in {-1, 0, 1} is the test of
    non-inferiority by margin m; x / pi with bounds 1 / pi takes rows that were chosen for their
    label with probability pi.
    """

    def __init__(self, *, claim: float, low: float = -1.0, high: float = 1.0) -> None:
        if not low < claim < high:
            raise ValueError(f"claim {claim:g}: expected more than {low:g} and less than {high:g}")
        self._parameters = (claim, low, high)
        self._bets: Floats = _BETS / (claim - low)
        self._logs: Floats = np.zeros(len(_BETS))
        self._rows = 0.0
        self._highest = 1.0

    def __repr__(self) -> str:
        return f"<MeanAbove {self._parameters[0]:g}: wealth {self.wealth:.3g}>"

    def add(self, values: Values, counts: Values | None = None) -> None:
        """Bet on *values* [n], each met *counts* [n] times, once by default.

        Raises ValueError for a value outside of the bounds, on which the bet could owe.
        """
        claim, low, high = self._parameters
        array = finite(values, "value")
        if array.size and (array.min() < low or array.max() > high):
            raise ValueError(f"a value outside of [{low:g}, {high:g}]")
        times = np.ones(len(array)) if counts is None else finite(counts, "count")
        self._logs += np.log1p(np.outer(self._bets, array - claim)) @ times
        self._rows += float(times.sum())
        self._highest = max(self._highest, self.wealth)

    def merge(self, other: Self) -> None:
        """Add the rows of another process's bets; raises ValueError for another claim."""
        if self._parameters != other._parameters:
            raise ValueError(f"bets on {other._parameters} and {self._parameters} do not merge")
        self._logs += other._logs
        self._rows += other._rows
        self._highest = max(self._highest, self.wealth)

    @property
    def wealth(self) -> float:
        """The e-value now."""
        return _exp(log_mean_exp(self._logs.tolist()))

    @property
    def highest(self) -> float:
        """The highest e-value at any look; at 1 / alpha the claim is refuted for good."""
        return self._highest

    def pack(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "parameters": list(self._parameters),
            "logs": pack_array(self._logs),
            "rows": self._rows,
            "highest": self._highest,
        }

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Self:
        """What `pack` gave."""
        claim, low, high = packed["parameters"]
        bets = cls(claim=claim, low=low, high=high)
        logs = unpack_array(packed["logs"])
        if logs.shape != bets._logs.shape:
            raise ValueError(f"packed bets of shape {list(logs.shape)}")
        bets._logs, bets._rows, bets._highest = logs, packed["rows"], packed["highest"]
        return bets


def wealth_of_counts(
    values: tuple[float, ...], counts: tuple[Count, ...], *, claim: float, low: float = -1.0
) -> Floats:
    """What `MeanAbove` has after each of *values* came as often as its *counts* [...] say.

    For many streams at once, and for states that keep counts alone.
    """
    bets = _BETS / (claim - low)
    gains = np.log1p(np.outer(np.asarray(values) - claim, bets))
    logs: Floats = np.sum(
        [
            np.multiply.outer(gain, np.asarray(count, dtype=np.float64))
            for gain, count in zip(gains, counts, strict=True)
        ],
        axis=0,
    )
    top = logs.max(axis=0)
    wealth: Floats = np.exp(np.minimum(top, _MOST)) * np.exp(logs - top).mean(axis=0)
    return wealth


def not_worse(b: Count, c: Count, same: Count, *, margin: float) -> Floats:
    """The e-value against "the candidate is worse by *margin* or more", a share of rows.

    *b*, *c* and *same* [...] are rows that only the live model has right, only the candidate, and
    on which both are equal. *margin* 0 tests superiority.
    """
    _check(margin)
    return wealth_of_counts((-1.0, 1.0, 0.0), (b, c, same), claim=-margin)


def worse(b: Count, c: Count, same: Count, *, margin: float) -> Floats:
    """The e-value against "the candidate is worse by *margin* at most": the mirror of `not_worse`.

    At 1 / alpha the candidate, or the model that was promoted, goes.
    """
    _check(margin)
    return wealth_of_counts((1.0, -1.0, 0.0), (b, c, same), claim=margin)


# By the weight of their rows: how many only the live model has right, only the candidate, both or
# neither.
Strata: TypeAlias = "Mapping[float, tuple[int, int, int]]"


def wealth_not_worse(strata: Strata, *, margin: float) -> float:
    """`not_worse` of rows with weights in (0, 1]; raises ValueError for others.

    A row was here with a probability that its weight makes up for: the bet is on w (D + margin),
    whose mean is not positive under the claim, whatever the rows were chosen by.
    """
    _check(margin)
    return float(_weighted(strata, (-1.0, 1.0, 0.0), claim=-margin))


def wealth_worse(strata: Strata, *, margin: float) -> float:
    """`worse` of rows with weights, as in `wealth_not_worse`."""
    _check(margin)
    return float(_weighted(strata, (1.0, -1.0, 0.0), claim=margin))


def _weighted(
    strata: Mapping[float, Sequence[Count]], values: tuple[float, float, float], *, claim: float
) -> Floats:
    moved: list[float] = []
    counts: list[Count] = []
    for weight, rows in strata.items():
        if not 0 < weight <= 1:
            raise ValueError(f"weight {weight:g}: expected more than 0 and at most 1")
        # Seen from the claim, a value moves as far as its row weighs.
        moved += [claim + weight * (value - claim) for value in values]
        counts += rows
    if not moved:
        return np.ones(())
    return wealth_of_counts(tuple(moved), tuple(counts), claim=claim)


def wealth_changed(
    blocks: Sequence[Strata], *, margin: float, numbers: Sequence[int] | None = None
) -> float:
    """The e-value against "at no time was it worse by more than *margin*", of *blocks* in order.

    A model that gets worse after a long good time is found late by a bet that has lost all along.
    So a new bet begins with each block: the j-th has the part 1 / (j (j + 1)) of the money, which
    all bets together have once. What has not been placed stays cash, so that the wealth is a
    martingale at most, and a false alarm ever has probability alpha at most. *numbers* are those of
    the blocks, from 1 on, where some were made one with the block before: their bets are given up.
    """
    _check(margin)
    count = len(blocks)
    weights = sorted({weight for block in blocks for weight in block})
    if not weights:
        return 1.0
    # Of each weight, what has come from the beginning of each block on.
    suffixes = {
        weight: tuple(
            np.cumsum([block.get(weight, (0, 0, 0))[place] for block in reversed(blocks)])[::-1]
            for place in range(3)
        )
        for weight in weights
    }
    wealth = _weighted(suffixes, (1.0, -1.0, 0.0), claim=margin)
    places = np.asarray(numbers or range(1, count + 1), dtype=np.float64)
    return float(wealth @ (1 / (places * (places + 1))) + 1 / (places[-1] + 1))


def disagreement_bound(strata: Mapping[float, tuple[int, int]], *, alpha: float = 0.05) -> float:
    """The least margin that `not_worse` proves without labels, which bounds the disagreement.

    *strata* has rows that differ, and all rows, by weight. At all times at once the share of rows
    that differ is below it with probability 1 - *alpha*; 1 where nothing is known.
    """

    def short(margin: float) -> float:
        """Positive where *margin* is not proven."""
        wealth = wealth_not_worse(
            {weight: (differ, 0, rows - differ) for weight, (differ, rows) in strata.items()},
            margin=margin,
        )
        return 1 / alpha - wealth

    most = 1 - 1e-9
    if short(most) > 0:
        return 1.0
    return solve(lambda margin: -short(margin), 0.0, most)


def _check(margin: float) -> None:
    if not 0 <= margin < 1:
        raise ValueError(f"margin {margin:g}: expected 0 or more, and less than 1")


def benjamini_hochberg(values: Floats, *, alpha: float = 0.05) -> list[int]:
    """Which e-values [n] are discoveries at a false discovery rate of *alpha*: their places.

    R. Wang and A. Ramdas, "False discovery rate control with e-values", 2022: the k largest, for
    the greatest k whose k-th largest is n / (alpha k) or more; valid however they depend.
    """
    order = np.argsort(-np.asarray(values), kind="stable")
    n = len(order)
    found = [k for k in range(1, n + 1) if values[order[k - 1]] >= n / (alpha * k)]
    return sorted(int(place) for place in order[: max(found, default=0)])


def _exp(value: float) -> float:
    return 0.0 if value == -inf else exp(min(value, _MOST))
