# SPDX-License-Identifier: Apache-2.0
"""Power of two: the better of two."""

from __future__ import annotations

from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from gateway.upstream.policy import PowerOfTwo

if TYPE_CHECKING:
    from gateway.upstream.policy import Loaded


def loaded(rows: int, weight: float = 1.0) -> Loaded:
    """An endpoint as a policy sees it."""
    return cast("Loaded", SimpleNamespace(name="e", pending_rows=rows, weight=weight))


def test_of_two_the_busier_one_is_never_picked() -> None:
    """Both are looked at, where drawing with replacement would miss one time in four."""
    policy = PowerOfTwo(rng=Random(1))
    assert {policy.pick([loaded(5), loaded(1)]) for _ in range(500)} == {1}


def test_the_busiest_is_never_picked_and_the_idlest_most_often() -> None:
    """The idlest of four wins each of its draws: one in two."""
    policy = PowerOfTwo(rng=Random(1))
    picked = Counter(policy.pick([loaded(rows) for rows in (9, 1, 5, 7)]) for _ in range(6000))
    assert picked[0] == 0
    assert 2800 < picked[1] < 3200


def test_load_is_for_the_weight() -> None:
    """Four rows for a weight of three are less than two for one."""
    policy = PowerOfTwo(rng=Random(1))
    assert {policy.pick([loaded(4, 3.0), loaded(2, 1.0)]) for _ in range(50)} == {0}


def test_one_endpoint_is_enough() -> None:
    """There is nothing to draw."""
    assert PowerOfTwo().pick([loaded(3)]) == 0
