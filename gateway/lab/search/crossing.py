# SPDX-License-Identifier: Apache-2.0
"""Crossing: where an SLO breaks, read off all probes around it; an estimate, and no proof.

Beyond its bound the tail of a queue falls exponentially, so the logarithm of the share of misses is
nearly a straight line over the rate. Undecided probes, which are nearest, say most about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Final

import numpy as np

from gateway.lab.search.evidence import Condition, Judgement

# Shares between the allowed one over this and times this are near enough for a straight line.
_NEAR: Final = 20.0
_LEAST_PROBES: Final = 2


def crossing(probes: Sequence[tuple[float, Judgement]]) -> float | None:
    """The rate at which the first of the conditions is missed as often as is allowed.

    *probes* are rates and what was counted there. None where too few are near.
    """
    if not probes:
        return None
    names = range(len(probes[0][1].conditions))
    found = [
        _one([(rate, judgement.conditions[place]) for rate, judgement in probes]) for place in names
    ]
    return min((rate for rate in found if rate is not None), default=None)


def _one(counts: Sequence[tuple[float, Condition]]) -> float | None:
    near = [
        (rate, log(one.share / one.allowed), one.misses / one.worth)
        for rate, one in counts
        if one.misses and one.allowed / _NEAR <= one.share <= one.allowed * _NEAR
    ]
    if len({rate for rate, _, _ in near}) < _LEAST_PROBES:
        return None
    rates, logs, weights = np.asarray(near, dtype=float).T
    # The variance of the logarithm of a count is one over it.
    middle = float((rates * weights).sum() / weights.sum())
    level = float((logs * weights).sum() / weights.sum())
    spread = float((weights * (rates - middle) ** 2).sum())
    if not spread:
        return None
    slope = float((weights * (rates - middle) * (logs - level)).sum()) / spread
    if slope <= 0:
        return None
    rate = middle - level / slope
    # No further out than what was measured.
    return rate if rates.min() <= rate <= rates.max() else None
