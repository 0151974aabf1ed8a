# SPDX-License-Identifier: Apache-2.0
"""Delays: how long labels take, told from those that have come and from those still out.

E. L. Kaplan and P. Meier, "Nonparametric estimation from incomplete observations", 1958: a row
without a label says only that its delay is longer than the row is old.
"""

from __future__ import annotations

from math import nan
from typing import Final

import numpy as np

from gateway.statistics.arrays import Floats, Integers, Values

# From a millisecond on, eight bins to a doubling: 9 % a bin, up to two million years.
SHORTEST: Final = 0.001
BINS: Final = 448
_A_DOUBLING: Final = 8


def delay_bins(seconds: Values) -> Integers:
    """The bin of each delay [n]; a label that is older than its prediction has delay 0."""
    scaled = np.maximum(np.asarray(seconds, dtype=np.float64), SHORTEST) / SHORTEST
    bins: Integers = np.floor(np.log2(scaled) * _A_DOUBLING).astype(np.int64)
    return bins.clip(0, BINS - 1)


def delay_of(place: int) -> float:
    """The middle of a bin, in seconds."""
    return float(SHORTEST * 2 ** ((place + 0.5) / _A_DOUBLING))


def delay_quantile(counts: Floats, share: float) -> float:
    """The delay in seconds that *share* of the labels in *counts* [BINS] keep; nan for none."""
    reached = np.cumsum(counts.clip(0))
    if not reached[-1]:
        return nan
    return delay_of(int(np.searchsorted(reached, share * reached[-1])))


def settled_after(came: Floats, waiting: Floats, share: float = 0.95) -> float:
    """The delay in seconds after which *share* of all labels that will come are there.

    *came* [BINS] are labels by delay, *waiting* [BINS] rows without one by age. Kaplan and Meier's
    curve need not reach 1, as most rows may never get a label: what it reaches by the greatest age
    seen is taken as all. nan without a label.
    """
    events, censored = came.clip(0), waiting.clip(0)
    if not events.sum():
        return nan
    at_risk = np.cumsum((events + censored)[::-1])[::-1]
    left = np.cumprod(1 - np.divide(events, at_risk, out=np.zeros(BINS), where=at_risk > 0))
    there = 1 - left
    return delay_of(int(np.searchsorted(there, share * there[-1] * (1 - 1e-12))))
