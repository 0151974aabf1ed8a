# SPDX-License-Identifier: Apache-2.0
"""Where percentiles lie when requests are slow together."""

from __future__ import annotations

import numpy as np

from gateway.lab.report.intervals import percentile_interval
from tests.support.md1 import Md1
from tests.support.runs import run_of


async def test_covers_where_ranks_do_not() -> None:
    """The 99th percentile of a busy queue in runs of 40 s: ranks cover it in a sixth of them."""
    server = Md1(0.001)
    truth = (await server(850, 1500, 99)).percentile(99)
    wide = narrow = 0
    for seed in range(20, 36):
        run = await server(850, 40, seed)
        low, high = percentile_interval(run, 99)
        wide += low <= truth <= high
        low, high = run.percentile_interval(99)
        narrow += low <= truth <= high
    assert narrow <= 5
    assert wide >= 10


def test_is_never_narrower_than_by_ranks() -> None:
    """Independent requests, and runs too short to draw from."""
    random = np.random.default_rng(5)
    for seconds in (5, 30):
        run = run_of([random.exponential(0.01, 100).tolist() for _ in range(seconds)])
        low, high = percentile_interval(run, 90)
        least, most = run.percentile_interval(90)
        assert low <= least <= most <= high
        if seconds == 5:
            assert (low, high) == (least, most)
