# SPDX-License-Identifier: Apache-2.0
"""Round robin: each in its turn."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from gateway.upstream.policy import RoundRobin

if TYPE_CHECKING:
    from gateway.upstream.policy import Loaded


def loaded(name: str, weight: float = 1.0) -> Loaded:
    """An endpoint as a policy sees it."""
    return cast("Loaded", SimpleNamespace(name=name, pending_rows=0, weight=weight))


def test_goes_round() -> None:
    """Each once before any comes again, always in the same order."""
    policy, four = RoundRobin(rng=Random(1)), [loaded(name) for name in "abcd"]
    picked = [policy.pick(four) for _ in range(40)]
    rounds = [picked[start : start + 4] for start in range(0, 40, 4)]
    assert sorted(rounds[0]) == [0, 1, 2, 3]
    assert all(one == other for one, other in pairwise(rounds))


def test_processes_do_not_go_round_in_step() -> None:
    """Each begins somewhere else."""
    four = [loaded(name) for name in "abcd"]
    first = {RoundRobin(rng=Random(seed)).pick(four) for seed in range(40)}
    assert first == {0, 1, 2, 3}


def test_turns_are_as_many_as_the_weight_says() -> None:
    """And they are spread, not in a row."""
    policy, three = RoundRobin(rng=Random(1)), [loaded("a"), loaded("b", 2), loaded("c", 5)]
    picked = [policy.pick(three) for _ in range(800)]
    assert [Counter(picked)[index] for index in range(3)] == [100, 200, 500]
    longest = max(len(run) for run in "".join(map(str, picked)).replace("2", "").split("0"))
    assert longest <= 3


def test_who_was_away_has_nothing_to_catch_up_on() -> None:
    """A burst for a worker that has just come back would be the worst welcome."""
    policy, two = RoundRobin(rng=Random(1)), [loaded("a"), loaded("b")]
    policy.pick(two)
    for _ in range(100):
        policy.pick(two[:1])
    picked = Counter(policy.pick(two) for _ in range(20))
    assert abs(picked[0] - picked[1]) <= 1


def test_a_full_endpoint_does_not_shift_the_turns_of_others() -> None:
    """While one is left out, the others share its turns equally."""
    policy, three = RoundRobin(rng=Random(1)), [loaded(name) for name in "abc"]
    names: Counter[str] = Counter()
    for number in range(300):
        ready = three if number % 2 else three[1:]
        names[ready[policy.pick(ready)].name] += 1
    assert abs(names["b"] - names["c"]) <= 1
