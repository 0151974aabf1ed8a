# SPDX-License-Identifier: Apache-2.0
"""What every balancing policy owes the pool."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.policy import POLICIES


class Loaded:
    """What a policy may look at."""

    def __init__(self, pending_rows: int = 0, weight: float = 1.0) -> None:
        self.pending_rows = pending_rows
        self.weight = weight

    def __repr__(self) -> str:
        return f"<Loaded {self.pending_rows} weight={self.weight}>"


@pytest.fixture(name="name", params=sorted(POLICIES), scope="module")
def each_name(request: pytest.FixtureRequest) -> str:
    """The name of every policy that a configuration can ask for."""
    return str(request.param)


@given(
    loads=st.lists(
        st.builds(Loaded, st.integers(0, 10**9), st.floats(0.01, 1000)), min_size=1, max_size=20
    )
)
def test_picks_one_of_those_that_are_ready(name: str, loads: list[Loaded]) -> None:
    """The answer is an index, whatever the loads and weights."""
    policy = POLICIES[name]()
    for _ in range(3):
        assert policy.pick(loads) in range(len(loads))


def test_spreads_ties(name: str) -> None:
    """At no load every endpoint gets its share: the first is not the hottest."""
    policy = POLICIES[name]()
    idle = [Loaded() for _ in range(4)]
    picked = Counter(policy.pick(idle) for _ in range(4000))
    assert set(picked) == {0, 1, 2, 3}
    assert min(picked.values()) > 800


def test_keeps_load_in_proportion_to_weight(name: str) -> None:
    """Requests that stay pile up by weight."""
    policy = POLICIES[name]()
    endpoints = [Loaded(weight=weight) for weight in (1, 2, 5)]
    for _ in range(800):
        endpoints[policy.pick(endpoints)].pending_rows += 1
    assert [endpoint.pending_rows for endpoint in endpoints] == [
        pytest.approx(share, abs=2) for share in (100, 200, 500)
    ]


def test_looks_and_does_not_touch(name: str) -> None:
    """Picking changes no count: only sending does."""
    policy = POLICIES[name]()
    endpoints = [Loaded(3), Loaded(1)]
    policy.pick(endpoints)
    assert [endpoint.pending_rows for endpoint in endpoints] == [3, 1]
