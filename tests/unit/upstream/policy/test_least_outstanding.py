# SPDX-License-Identifier: Apache-2.0
"""Least outstanding: exactly the least loaded."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.policy import POLICIES, LeastOutstanding

if TYPE_CHECKING:
    from gateway.upstream.policy import Loaded


def loaded(rows: int, weight: float = 1.0) -> Loaded:
    """An endpoint as a policy sees it."""
    return cast("Loaded", SimpleNamespace(name="e", pending=1, pending_rows=rows, weight=weight))


@given(st.lists(st.tuples(st.integers(0, 1000), st.sampled_from([0.5, 1, 2, 4])), min_size=1))
def test_picks_the_least_of_all(loads: list[tuple[int, float]]) -> None:
    """An exact scan: no endpoint has less to do for its weight than the one picked."""
    index = LeastOutstanding().pick([loaded(*load) for load in loads])
    measure = [(rows + 1) / weight for rows, weight in loads]
    assert measure[index] == min(measure)


def test_ties_follow_the_random_source() -> None:
    """The same seed gives the same choices, so that a run can be repeated."""
    idle = [loaded(0) for _ in range(5)]
    one, other = (LeastOutstanding(rng=Random(3)) for _ in range(2))
    assert [one.pick(idle) for _ in range(50)] == [other.pick(idle) for _ in range(50)]


def test_an_idle_endpoint_of_less_weight_waits_for_its_turn() -> None:
    """With weights 1 and 3 the first three requests go to the heavier one."""
    assert LeastOutstanding().pick([loaded(0, 1), loaded(1, 3)]) == 1
    assert LeastOutstanding().pick([loaded(0, 1), loaded(3, 3)]) == 0


def test_goes_by_its_older_name_too() -> None:
    """`least_connections` is the same policy."""
    assert POLICIES["least_connections"] is POLICIES["least_outstanding"]
