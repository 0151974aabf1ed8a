# SPDX-License-Identifier: Apache-2.0
"""Where more load stops paying."""

from __future__ import annotations

from math import inf

import pytest

from gateway.lab.search.knee import kneedle, knees, scaling
from gateway.lab.search.point import Point
from gateway.lab.search.slo import Slo
from tests.support.md1 import Md1


@pytest.mark.parametrize(("contention", "crosstalk"), [(0.05, 0.001), (0.2, 0.0), (0.0, 0.0004)])
def test_fit_gives_back_the_law_it_was_made_by(contention: float, crosstalk: float) -> None:
    """Also where one of the two is missing."""

    def x(n: float) -> float:
        return 500 * n / (1 + contention * (n - 1) + crosstalk * n * (n - 1))

    found = scaling([(n, x(n)) for n in (1, 2, 4, 8, 16, 32, 64)])
    assert found is not None
    assert found.gain == pytest.approx(500, rel=1e-6)
    assert found.contention == pytest.approx(contention, abs=1e-6)
    assert found.crosstalk == pytest.approx(crosstalk, abs=1e-8)
    best = ((1 - contention) / crosstalk) ** 0.5 if crosstalk else inf
    assert found.best == pytest.approx(best, rel=1e-3)
    assert found.throughput(10) == pytest.approx(x(10))


def test_three_points_fit_anything() -> None:
    """So they say nothing."""
    assert scaling([(1, 10), (2, 20), (3, 30)]) is None


def test_kneedle_finds_the_bend() -> None:
    """Of a hockey stick at 6; a straight line in the logarithm has none."""
    assert kneedle([(x, 1.0 if x <= 6 else 10.0 ** (x - 6)) for x in range(1, 11)]) == 6
    assert kneedle([(x, 2.0**x) for x in range(8)]) is None


async def test_the_three_agree_on_a_queue() -> None:
    """For a server of 1000 a second the rates are between 600 and its limit."""
    slo, server = Slo.parse("p99=20ms"), Md1(0.001)
    rates = [100, 200, 400, 600, 800, 950, 1200]
    points = [
        Point.of_runs("rate", rate, [await server(rate, 20, rate)], slo=slo) for rate in rates
    ]
    found = knees(points, passed=[100, 200, 400, 600, 800])
    assert found.within == 800
    assert found.bend is not None
    assert 600 <= found.bend <= 1000
    assert found.scaling is not None
    # One server, so nearly all of the work is contended for, and no more than its rate comes out.
    assert found.scaling.throughput(1000) < 1150
    assert found.scaling.contention > 0.3
