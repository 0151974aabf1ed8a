# SPDX-License-Identifier: Apache-2.0
"""Cost: what a batch takes, learned from runs."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.stages.cost import FIXED_SHARE, HOP, Cost


def fitted(fixed: float, per_row: float, sizes: tuple[int, ...] = (1, 4, 16, 64)) -> Cost:
    """A cost that has seen some runs of each of *sizes*."""
    cost = Cost()
    for _ in range(5):
        for rows in sizes:
            cost.observe(rows, fixed + per_row * rows)
    return cost


@pytest.mark.parametrize(("fixed", "per_row"), [(0.005, 0.0001), (0.0, 0.008), (0.001, 0.001)])
def test_finds_the_line_that_runs_follow(fixed: float, per_row: float) -> None:
    """Both parts of the cost come out of runs of different sizes."""
    cost = fitted(fixed, per_row)
    assert cost.fixed == pytest.approx(fixed, abs=1e-9)
    assert cost.per_row == pytest.approx(per_row)
    assert cost.seconds(100) == pytest.approx(fixed + 100 * per_row)


def test_limits_nothing_before_the_first_run() -> None:
    """Nothing is known, so nothing is held back."""
    assert Cost().rows_worth(64) == 64
    assert Cost().seconds(64) == 0


def test_gathers_until_the_fixed_part_is_small() -> None:
    """Beyond that share, a larger batch only makes its first row wait for its last."""
    cost = fitted(0.004, 0.002)
    assert cost.rows_worth(64) == int((0.004 + HOP) / (FIXED_SHARE * 0.002))


def test_a_slow_row_is_not_worth_waiting_for() -> None:
    """Where rows dominate, requests go one by one."""
    assert fitted(0.0, 0.008).rows_worth(64) == 1


def test_a_cost_without_slope_is_worth_the_largest_batch() -> None:
    """Rows that cost nothing are all taken along."""
    assert fitted(0.01, 0.0).rows_worth(64) == 64


def test_runs_of_one_size_make_it_try_twice_that_size() -> None:
    """A model with a large fixed part, first asked one row at a time, is found out."""
    cost = Cost()
    for _ in range(10):
        cost.observe(1, 0.005)
    assert cost.rows_worth(64) == 2
    assert cost.seconds(1) == pytest.approx(0.005)
    cost.observe(2, 0.005)
    assert cost.rows_worth(64) == 64


def test_a_slope_below_nothing_is_taken_for_none() -> None:
    """Noise must not make larger batches look cheaper, nor all of them dearer than any was."""
    cost = Cost()
    for _ in range(5):
        cost.observe(1, 0.002)
        cost.observe(9, 0.001)
    assert cost.per_row == 0
    assert 0.001 <= cost.seconds(5) <= 0.002


def test_a_run_of_no_rows_counts_as_one() -> None:
    """An empty batch costs its fixed part, and divides nothing by zero."""
    cost = Cost()
    cost.observe(0, 0.001)
    assert cost.seconds(1) == pytest.approx(0.001)


def test_forgets_the_old_for_the_new() -> None:
    """After some hundred runs a model that became slower is known to be."""
    cost = fitted(0.001, 0.001)
    for _ in range(200):
        for rows in (1, 8):
            cost.observe(rows, 0.01 + 0.01 * rows)
    assert cost.seconds(8) == pytest.approx(0.09, rel=0.01)


@given(st.lists(st.tuples(st.integers(0, 4096), st.floats(0, 1e3)), max_size=40))
@example([(0, 5e-324)])
def test_never_answers_with_nonsense(runs: list[tuple[int, float]]) -> None:
    """Whatever was seen, expected times are not below 0 and batches have 1 to *most* rows."""
    cost = Cost()
    for rows, seconds in runs:
        cost.observe(rows, seconds)
        assert cost.seconds(7) >= 0
        assert 1 <= cost.rows_worth(64) <= 64
