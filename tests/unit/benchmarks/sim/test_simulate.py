# SPDX-License-Identifier: Apache-2.0
"""What the real queue, retries, ejection and policies do with a pool that is simulated."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.sim.scenario import Outcome, Scenario
from benchmarks.sim.simulate import NAMES, simulate

# Seconds of virtual time: some 3,000 requests.
SHORT = Scenario(seconds=6.0)


@pytest.mark.parametrize("name", NAMES)
def test_every_request_is_answered(name: str) -> None:
    """Where nothing fails there is one attempt for each, and nothing is left over."""
    outcome = simulate(replace(SHORT, slow=0), name)
    assert outcome.answered == outcome.requests > 2500
    assert outcome.attempts == 1


def test_the_same_seed_gives_the_same_figures() -> None:
    """To the last digit; another seed gives others."""
    scenario = replace(SHORT, seconds=2.0)
    assert simulate(scenario, "least_outstanding") == simulate(scenario, "least_outstanding")
    other = simulate(replace(scenario, seed=2), "least_outstanding")
    assert other != simulate(scenario, "least_outstanding")


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("cap", [0, 8])
def test_least_outstanding_beats_round_robin_and_chance(seed: int, cap: int) -> None:
    """At the 99th percentile, with one of eight workers ten times as slow."""
    scenario = replace(SHORT, seed=seed, cap=cap)
    least, turns, chance = (
        simulate(scenario, name) for name in ("least_outstanding", "round_robin", "random")
    )
    assert least.p99 < 0.9 * turns.p99
    assert least.p99 < 0.9 * chance.p99


def test_peak_ewma_finds_the_slow_worker() -> None:
    """And leaves it alone, which counts alone cannot tell it to."""
    peak, least = (simulate(SHORT, name) for name in ("peak_ewma", "least_outstanding"))
    assert peak.p99 < 0.5 * least.p99


@pytest.mark.parametrize("seed", [1, 2])
def test_a_full_outage_is_not_made_worse_by_retries(seed: int) -> None:
    """The budget holds attempts at 1.2 for each request, when all workers fail everything."""
    outage = Scenario(
        slow=0, load=0.3, seconds=15.0, failing=8, fails_from=0.0, fails_to=1e6, seed=seed
    )
    outcome = simulate(outage, "least_outstanding")
    assert outcome.answered == 0
    assert 1.1 < outcome.attempts <= 1.2
    unbound = simulate(replace(outage, retry_percent=100.0), "least_outstanding")
    assert unbound.attempts > 1.9


@pytest.mark.parametrize(
    ("cap", "fail_time", "load"), [(64, 0.2, 5.0), (16, 0.1, 2.0), (4, 0.02, 4.0)]
)
def test_nor_by_batches_that_are_taken_apart(cap: int, fail_time: float, load: float) -> None:
    """Members that are sent again alone spend the same budget: without it there were 3 to 4."""
    outage = Scenario(
        slow=0, load=load, seconds=6.0, failing=8, fails_to=1e6,
        cap=cap, fail_time=fail_time, max_rows=64,
    )  # fmt: skip
    outcome = simulate(outage, "least_outstanding")
    assert outcome.answered == 0
    assert 1.1 < outcome.attempts <= 1.2


def test_a_worker_too_slow_for_every_deadline_costs_few_requests() -> None:
    """Those by which it is found out and looked at again; it was one in seventeen without that."""
    slow = Scenario(endpoints=4, slow=1, factor=20, run=0.02, load=0.5, seconds=30.0, timeout=0.25)
    outcome = simulate(slow, "least_outstanding")
    assert outcome.requests > 2500
    assert 0 < outcome.requests - outcome.answered < 0.01 * outcome.requests


def test_half_an_outage_costs_few_requests() -> None:
    """Ejection and retries: four of eight workers fail everything for half of the time."""
    outcome = simulate(
        replace(SHORT, slow=0, load=0.3, failing=4, fails_from=3.0, fails_to=6.0),
        "least_outstanding",
    )
    assert outcome.requests - outcome.answered < 0.02 * outcome.requests
    assert outcome.attempts < 1.2


def behind(gateways: int, *, shared: bool = True) -> Outcome:
    """Eight equal workers behind so many gateway processes."""
    scenario = Scenario(slow=0, load=0.8, seconds=6.0, gateways=gateways, shared=shared)
    return simulate(scenario, "least_outstanding")


def test_processes_that_count_together_balance_like_one() -> None:
    """And those that do not, do not: each sends to workers that another keeps busy."""
    one, together, apart = behind(1), behind(4), behind(4, shared=False)
    assert together.p99 < 1.1 * one.p99
    assert together.imbalance < 1.2 * one.imbalance
    assert apart.p99 > 1.3 * one.p99
    assert apart.imbalance > 1.8 * one.imbalance


def test_batches_leave_together_in_virtual_time_too() -> None:
    """Merging makes a pool bear more than its workers could row by row."""
    busy = Scenario(slow=0, load=1.5, seconds=4.0, fixed=0.8, max_rows=16)
    merged, single = (
        simulate(scenario, "least_outstanding") for scenario in (busy, replace(busy, max_rows=1))
    )
    assert merged.answered == merged.requests
    assert merged.p99 < 0.1 * single.p99
