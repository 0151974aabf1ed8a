# SPDX-License-Identifier: Apache-2.0
"""Where an SLO breaks, by all probes together."""

from __future__ import annotations

from math import exp

import pytest

from gateway.lab.search.crossing import crossing
from gateway.lab.search.evidence import Condition, Judgement


def _probe(rate: float, *shares: float, worth: float = 10.0) -> tuple[float, Judgement]:
    conditions = tuple(
        Condition(f"p{n}", 0.01, 100_000, round(share * 100_000), worth, "undecided")
        for n, share in enumerate(shares)
    )
    return rate, Judgement("undecided", conditions, 0.99)


def _share(rate: float, limit: float) -> float:
    """An exponential tail that is at the allowed share at *limit*."""
    return min(1.0, 0.01 * exp((rate - limit) / 20))


def test_an_exponential_tail_is_read_exactly() -> None:
    """Whatever lies far from the limit."""
    probes = [_probe(rate, _share(rate, 850)) for rate in (100, 500, 820, 840, 870, 1000, 2000)]
    assert crossing(probes) == pytest.approx(850, abs=0.5)


def test_the_first_condition_to_break_counts() -> None:
    """Of two, whose limits differ."""
    probes = [_probe(rate, _share(rate, 870), _share(rate, 850)) for rate in (820, 840, 860, 880)]
    assert crossing(probes) == pytest.approx(850, abs=0.5)


def test_what_is_worth_little_counts_little() -> None:
    """A probe that is off, and whose requests were all one cluster."""
    probes = [_probe(rate, _share(rate, 850)) for rate in (820, 840, 860, 880)]
    probes.append(_probe(830, 0.05, worth=1e6))
    assert crossing(probes) == pytest.approx(850, abs=1)


def test_too_little_says_nothing() -> None:
    """No probe, one, none near, all on one side, or a tail that falls with the rate."""
    assert crossing([]) is None
    assert crossing([_probe(850, 0.01)]) is None
    assert crossing([_probe(100, 0.0), _probe(2000, 1.0)]) is None
    assert crossing([_probe(800, 0.001), _probe(820, 0.002)]) is None
    assert crossing([_probe(800, 0.02), _probe(900, 0.005)]) is None
