# SPDX-License-Identifier: Apache-2.0
"""What every balancing policy owes the pool."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.policy import POLICIES, Informed, Keyed, Learning, Policy


class Loaded:
    """What a policy may look at."""

    def __init__(self, pending_rows: int = 0, weight: float = 1.0, name: str = "e") -> None:
        self.name = name
        self.pending = pending_rows
        self.pending_rows = pending_rows
        self.weight = weight

    def __repr__(self) -> str:
        return f"<Loaded {self.name} {self.pending_rows} weight={self.weight}>"


def endpoints(*weights: float) -> list[Loaded]:
    """Idle endpoints of these *weights*."""
    return [Loaded(weight=weight, name=f"e{index}") for index, weight in enumerate(weights)]


class Clock:
    """Time that moves a little with every look at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The present instant in seconds."""
        self.now += 0.001
        return self.now


def make(name: str, seed: int = 1) -> Policy:
    """The policy *name* with its default options."""
    return POLICIES[name]().make(rng=Random(seed), clock=Clock())


def tell(policy: Policy, name: str, rng: Random) -> None:
    """Whatever a pool would tell *policy* of the endpoint *name*."""
    if isinstance(policy, Learning):
        policy.attempted(name, rng.random(), good=rng.random() < 0.9)
    if isinstance(policy, Informed):
        policy.began(name)
        policy.reported(name, rng.randint(0, 9))


@pytest.fixture(name="name", params=sorted(POLICIES), scope="module")
def each_name(request: pytest.FixtureRequest) -> str:
    """The name of every policy that a configuration can ask for."""
    return str(request.param)


@given(
    loads=st.lists(
        st.builds(
            Loaded,
            st.integers(0, 10**9),
            st.floats(0.01, 1000),
            st.sampled_from([f"e{index}" for index in range(40)]),
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda each: each.name,
    ),
    keys=st.lists(st.binary(max_size=20), min_size=3, max_size=3),
    seed=st.integers(0, 1000),
)
def test_picks_one_of_those_that_are_ready(
    name: str, loads: list[Loaded], keys: list[bytes], seed: int
) -> None:
    """The answer is an index, whatever the loads, weights, keys and what it was told before."""
    policy, rng = make(name), Random(seed)
    for key in keys:
        tell(policy, rng.choice(loads).name, rng)
        assert policy.pick(loads, key) in range(len(loads))


def test_spreads_ties(name: str) -> None:
    """At no load every endpoint gets its share: the first is not the hottest."""
    policy = make(name)
    idle = endpoints(1, 1, 1, 1)
    picked = Counter(policy.pick(idle) for _ in range(4000))
    assert set(picked) == {0, 1, 2, 3}
    assert min(picked.values()) > 800


def test_keeps_load_in_proportion_to_weight(name: str) -> None:
    """Requests that stay pile up by weight."""
    policy = make(name)
    # Power of two can give no endpoint more than the 2 in 3 of the draws that it is in.
    busy = endpoints(1, 2, 5)
    for _ in range(800):
        chosen = busy[policy.pick(busy)]
        chosen.pending_rows += 1
        chosen.pending += 1
    slack = 25 if name == "power_of_two" else 2
    assert [each.pending_rows for each in busy] == [
        pytest.approx(share, abs=slack) for share in (100, 200, 500)
    ]


def test_looks_and_does_not_touch(name: str) -> None:
    """Picking changes no count: only sending does."""
    policy = make(name)
    busy = [Loaded(3, name="a"), Loaded(1, name="b")]
    policy.pick(busy, b"key")
    assert [each.pending_rows for each in busy] == [3, 1]


def test_the_same_seed_gives_the_same_choices(name: str) -> None:
    """A run can be repeated."""
    choices = []
    for _ in range(2):
        policy, rng, busy = make(name, seed=7), Random(7), endpoints(1, 1, 2, 4)
        picked = []
        for number in range(200):
            tell(policy, f"e{rng.randrange(4)}", rng)
            chosen = policy.pick(busy, b"%d" % (number % 5))
            busy[chosen].pending_rows += 1
            picked.append(chosen)
        choices.append(picked)
    assert choices[0] == choices[1]


def test_endpoints_may_come_and_go(name: str) -> None:
    """Names that were never seen, and names that are seen no more, are nothing special."""
    policy, rng = make(name), Random(1)
    for number in range(10_000):
        some = [Loaded(name=f"e{number + offset}") for offset in range(3)]
        tell(policy, some[0].name, rng)
        assert policy.pick(some) in range(3)


def test_only_a_keyed_policy_goes_by_the_key() -> None:
    """Equal keys, equal places; the others take no notice of it."""
    for name in POLICIES:
        policy, idle = make(name), endpoints(1, 1, 1, 1)
        places = {policy.pick(idle, b"one and the same") for _ in range(100)}
        assert (len(places) == 1) is isinstance(policy, Keyed)
