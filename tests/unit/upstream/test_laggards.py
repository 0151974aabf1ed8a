# SPDX-License-Identifier: Apache-2.0
"""Laggards: an endpoint that alone is slow, and what only looks like one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from gateway.upstream.laggards import Laggards


@dataclass
class Counted:
    """What is looked at of an ejection."""

    successes: int = 0


@dataclass(eq=False)
class Other:
    """What is looked at of an endpoint: 10 ms usually."""

    typical: float = 0.01
    attempts: int = 100
    healthy: bool = True
    ejection: Counted = field(default_factory=Counted)


class Scene:
    """One endpoint that lets deadlines pass, among *others*."""

    def __init__(self, *others: Other) -> None:
        self.slow = Other()
        self.others = others
        self.laggards = Laggards()

    def misses(self, seconds: float = 0.25, *, answers: int = 1) -> bool:
        """Another deadline passes; the others have answered so often since the last one."""
        for other in self.others:
            other.ejection.successes += answers
        found = self.laggards.outpaced(
            cast("Any", self.slow), cast("Any", [self.slow, *self.others]), seconds
        )
        assert isinstance(found, bool)
        return found


def test_one_that_misses_while_others_answer_is_slow() -> None:
    """The first time there is nothing to compare with."""
    scene = Scene(Other(), Other())
    assert [scene.misses() for _ in range(4)] == [False, True, True, True]


def test_where_nobody_answers_none_is_slow() -> None:
    """A model or machine that has become slow is no endpoint's fault."""
    scene = Scene(Other(), Other())
    scene.misses()
    assert not scene.misses(answers=0)
    assert scene.misses(answers=1)


def test_a_client_with_little_time_makes_nobody_slow() -> None:
    """Up to four times the usual time is no wonder."""
    scene = Scene(Other(), Other())
    scene.misses()
    assert not scene.misses(0.04)
    assert scene.misses(0.041)


@pytest.mark.parametrize(
    "other",
    [Other(attempts=29), Other(healthy=False)],
    ids=["hardly known", "not healthy"],
)
def test_only_others_that_are_well_and_known_are_compared_with(other: Other) -> None:
    """The usual time of the rest means nothing."""
    scene = Scene(other)
    scene.misses()
    assert not scene.misses()


def test_half_of_the_others_decide() -> None:
    """One that was quick once and is no more than a part of the pool does not."""
    scene = Scene(Other(typical=0.001), Other(typical=0.1), Other(typical=0.1))
    scene.misses()
    assert not scene.misses(0.25)
    assert scene.misses(0.5)


def test_forgets_who_is_gone() -> None:
    """Endpoints that come and go leave nothing."""
    scene = Scene(Other())
    scene.misses()
    assert repr(scene.laggards) == "<Laggards, 1 noted>"
    scene.laggards.forget(cast("Any", scene.slow))
    assert repr(scene.laggards) == "<Laggards, 0 noted>"
    assert not scene.misses()
