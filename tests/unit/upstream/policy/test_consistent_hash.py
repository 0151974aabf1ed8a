# SPDX-License-Identifier: Apache-2.0
"""Consistent hash: equal keys, equal places, as far as the load allows."""

from __future__ import annotations

from collections import Counter
from math import ceil
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from gateway.upstream.policy import ConsistentHash

if TYPE_CHECKING:
    from gateway.upstream.policy import Loaded

KEYS = [b"key %d" % number for number in range(2000)]


def loaded(name: str, rows: int = 0, weight: float = 1.0) -> Loaded:
    """An endpoint as a policy sees it."""
    return cast("Loaded", SimpleNamespace(name=name, pending_rows=rows, weight=weight))


def places(ready: list[Loaded], *, factor: float = 100.0) -> list[str]:
    """Where each of KEYS goes."""
    policy = ConsistentHash(factor=factor)
    return [ready[policy.pick(ready, key)].name for key in KEYS]


def test_processes_agree() -> None:
    """Another process, another order of endpoints: the same place."""
    ready = [loaded(name) for name in "abcde"]
    assert places(ready) == places(ready[::-1])


def test_only_keys_of_an_endpoint_that_leaves_move() -> None:
    """All others stay where their worker has what it needs of them."""
    ready = [loaded(name) for name in "abcde"]
    before, after = places(ready), places(ready[1:])
    moved = [one for one, other in zip(before, after, strict=True) if one != other]
    assert set(moved) == {"a"}
    assert len(moved) == before.count("a")


def test_keys_are_spread_by_weight() -> None:
    """Twice the weight, twice the keys."""
    counts = Counter(places([loaded("a"), loaded("b"), loaded("c", weight=2.0)]))
    assert [counts[name] for name in "abc"] == [
        pytest.approx(share, rel=0.15) for share in (500, 500, 1000)
    ]


@pytest.mark.parametrize("factor", [1.0, 1.25, 2.0])
def test_one_hot_key_overloads_nobody(factor: float) -> None:
    """No endpoint gets more than the factor times its share, rounded up."""
    policy = ConsistentHash(factor=factor, rng=Random(1))
    ready = [SimpleNamespace(name=name, pending_rows=0, weight=1.0) for name in "abcdefgh"]
    for sent in range(400):
        chosen = ready[policy.pick(cast("list[Loaded]", ready), b"hot")]
        chosen.pending_rows += 1
        assert chosen.pending_rows <= ceil(factor * (sent + 1) / 8)


def test_a_hot_key_goes_on_to_the_same_next_endpoint() -> None:
    """Its second place is as fixed as its first."""
    policy = ConsistentHash(factor=1.25)
    idle = [loaded(name) for name in "abcdefgh"]
    first = idle[policy.pick(idle, b"hot")].name
    seconds = set()
    for seed in range(20):
        rng = Random(seed)
        rng.shuffle(idle)
        busy = [loaded(each.name, 9 if each.name == first else 0) for each in idle]
        seconds.add(busy[policy.pick(busy, b"hot")].name)
    assert len(seconds) == 1
    assert seconds != {first}


def test_without_a_key_the_least_loaded_is_picked() -> None:
    """A request without the header is as good as any other."""
    policy = ConsistentHash(header="X-User")
    assert policy.header == "x-user"
    assert {policy.pick([loaded("a", 2), loaded("b", 1)]) for _ in range(20)} == {1}
