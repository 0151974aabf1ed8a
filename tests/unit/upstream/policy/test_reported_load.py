# SPDX-License-Identifier: Apache-2.0
"""Reported load: what workers say of others counts, for a while."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from gateway.upstream.policy import ReportedLoad
from tests.support.upstream import Clock

if TYPE_CHECKING:
    from gateway.upstream.policy import Loaded

PAIR = cast(
    "list[Loaded]",
    [
        SimpleNamespace(name="a", pending_rows=1, weight=1.0),
        SimpleNamespace(name="b", pending_rows=2, weight=1.0),
    ],
)


@pytest.fixture(name="clock")
def fixture_clock() -> Clock:
    """Time that the test moves."""
    return Clock()


@pytest.fixture(name="policy")
def fixture_policy(clock: Clock) -> ReportedLoad:
    """A policy whose endpoints have been up for long."""
    policy = ReportedLoad(expiry=1.0, blackout=10.0, clock=clock)
    policy.began("a")
    policy.began("b")
    clock.now += 60
    return policy


def test_rows_of_others_count_like_our_own(policy: ReportedLoad) -> None:
    """A worker that another server keeps busy is busy."""
    assert policy.pick(PAIR) == 0
    policy.reported("a", 2)
    assert policy.pick(PAIR) == 1


def test_a_report_expires(policy: ReportedLoad, clock: Clock) -> None:
    """What was true a while ago says nothing: the worker is tried again."""
    policy.reported("a", 9)
    clock.now += 0.9
    assert policy.pick(PAIR) == 1
    clock.now += 0.2
    assert policy.pick(PAIR) == 0


def test_a_newer_report_replaces_the_last(policy: ReportedLoad) -> None:
    """The worker has got rid of it."""
    policy.reported("a", 9)
    policy.reported("a", 0)
    assert policy.pick(PAIR) == 0


def test_a_worker_that_came_up_is_not_believed_yet(policy: ReportedLoad, clock: Clock) -> None:
    """And what its last life said is forgotten."""
    policy.reported("a", 9)
    policy.began("a")
    assert policy.pick(PAIR) == 0
    clock.now += 9
    policy.reported("a", 9)
    assert policy.pick(PAIR) == 0
    clock.now += 1
    policy.reported("a", 9)
    assert policy.pick(PAIR) == 1
