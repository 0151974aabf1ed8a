# SPDX-License-Identifier: Apache-2.0
"""Intervals: where a percentile of a run lies, for requests that are slow together.

Ranks suppose independent requests; whole seconds, drawn again and again in runs of neighbours, keep
what is alike together. The wider of the two is given.
"""

from __future__ import annotations

from math import isnan
from typing import Final

import numpy as np

from gateway.lab.load.run import Run
from gateway.statistics.arrays import Floats
from gateway.statistics.dependence import block_bootstrap

# Seconds that are drawn together: a queue of a busy server empties within them.
_BLOCK: Final = 3
# Below so many seconds there are too few blocks to draw from.
_LEAST_SECONDS: Final = 4 * _BLOCK


def percentile_interval(run: Run, q: float, level: float = 0.95) -> tuple[float, float]:
    """Where the *q*-th percentile, 0 to 100, of the response time in seconds lies at *level*."""
    low, high = run.percentile_interval(q, level)
    seconds = [one.response for one in run.timeline if len(one.response)]
    if len(seconds) < _LEAST_SECONDS:
        return low, high
    tops = np.unique([top for one in seconds for top, _ in one.bins()])
    counts = np.zeros((len(seconds), len(tops)))
    for row, one in enumerate(seconds):
        for top, count in one.bins():
            counts[row, np.searchsorted(tops, top)] = count

    def percentile(drawn: Floats) -> float:
        total = np.cumsum(drawn.sum(axis=0))
        place = int(np.searchsorted(total, total[-1] * q / 100))
        return float(tops[min(place, len(tops) - 1)])

    drawn = block_bootstrap(counts, percentile, block=_BLOCK, level=level)
    if isnan(drawn.lower):
        return low, high
    return min(low, drawn.lower), max(high, drawn.upper)
