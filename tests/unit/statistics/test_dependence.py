# SPDX-License-Identifier: Apache-2.0
"""Intervals of what is measured in time."""

from __future__ import annotations

from math import inf, isnan

import numpy as np
import pytest
from scipy import stats

from gateway.statistics.arrays import Values
from gateway.statistics.dependence import (
    batches,
    block_bootstrap,
    design_effect,
    mean_interval,
    share_interval,
    student_quantile,
)


@pytest.mark.parametrize("degrees", [1, 2, 19, 300])
@pytest.mark.parametrize("share", [0.005, 0.3, 0.5, 0.9, 0.995])
def test_student_is_that_of_scipy(share: float, degrees: int) -> None:
    """Both tails and the middle."""
    expected = stats.t.ppf(share, degrees)
    assert student_quantile(share, degrees) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_interval_of_a_mean_is_that_of_scipy() -> None:
    """Student's interval; no bounds for a single value."""
    values = [1.0, 2.0, 4.0, 8.0]
    lower, upper = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    found = mean_interval(values)
    assert (found.lower, found.upper) == pytest.approx((lower, upper))
    assert mean_interval([1.0]).upper == inf


def test_batches_drop_the_beginning() -> None:
    """47 windows make 23 batches of two, and the first is left out."""
    found = batches(np.arange(47))
    assert len(found) == 23
    assert found[0] == 1 + 2
    assert found[-1] == 45 + 46
    assert batches(np.empty((0, 3))).shape == (0, 3)


def _queue(random: np.random.Generator, n: int) -> Values:
    """An autoregressive series whose neighbours are alike over about 20 values."""
    values = np.empty(n)
    values[0] = 0.0
    noise = random.standard_normal(n)
    for i in range(1, n):
        values[i] = 0.95 * values[i - 1] + noise[i]
    return values


def test_design_effect_of_dependent_values_is_theirs() -> None:
    """(1 + r) / (1 - r) for an autoregressive series, 1 for independent values."""
    random = np.random.default_rng(1)

    def effect(values: Values) -> float:
        parts = values.reshape(100, -1)
        counts = np.full(100, parts.shape[1])
        return design_effect(parts.sum(axis=1), (parts**2).sum(axis=1), counts)

    assert effect(_queue(random, 100_000)) == pytest.approx(1.95 / 0.05, rel=0.5)
    assert effect(random.standard_normal(100_000)) < 1.5
    assert effect(np.ones(1000)) == 1


def test_share_interval_covers_where_events_come_in_clusters() -> None:
    """19 of 20 and more at 95 %, where the binomial interval covers half of the time."""
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        # Every window is all misses with probability 0.1.
        windows = (random.random(400) < 0.1) * 100.0
        kept = batches(np.stack([windows, np.full(400, 100.0)], axis=1))
        covered += 0.1 in share_interval(kept[:, 0], kept[:, 1])
    assert covered >= 180


def test_share_of_nothing_is_anything() -> None:
    """One batch has no spread."""
    assert share_interval(np.array([1.0]), np.array([5.0])).upper == 1


def test_block_bootstrap_covers_the_mean_of_a_queue() -> None:
    """Blocks keep the neighbours together; single values would give a third of the width."""
    random = np.random.default_rng(3)
    covered, widths = 0, []
    for seed in range(60):
        values = _queue(random, 2000)
        found = block_bootstrap(values, lambda some: float(some.mean()), block=100, seed=seed)
        covered += 0.0 in found
        widths.append(found.upper - found.lower)
    assert covered >= 50
    alone = block_bootstrap(_queue(random, 2000), lambda some: float(some.mean()), block=1)
    assert alone.upper - alone.lower < np.mean(widths) / 2


def test_block_bootstrap_of_too_little_says_nothing() -> None:
    """Two blocks are the least."""
    assert isnan(block_bootstrap(np.ones(3), lambda some: float(some.mean()), block=2).lower)
