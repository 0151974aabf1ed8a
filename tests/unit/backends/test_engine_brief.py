# SPDX-License-Identifier: Apache-2.0
"""Runs that are over sooner than a thread could be woken for them."""

from __future__ import annotations

import pytest

from tests.unit.backends.test_engine import Bench


def taking(bench: Bench, seconds: float) -> None:
    """Let every run take *seconds* from now on."""

    def during() -> None:
        bench.now += seconds

    bench.model.during = during


def seen_to_be_brief() -> Bench:
    """An engine that has had a brief run of one size."""
    bench = Bench()
    taking(bench, 0.0001)
    bench.job(1)
    assert bench.peer.answers == [], "the first of its size goes to a thread"
    bench.work()
    return bench


def test_a_run_that_is_known_to_be_brief_is_done_where_it_arrives() -> None:
    """No thread is woken for it."""
    bench = seen_to_be_brief()
    bench.job(2)

    assert [id_ for id_, _ in bench.peer.answers] == [1, 2]
    assert bench.engine.pending == 0


def test_a_larger_run_is_not_known_to_be_brief() -> None:
    """It goes to a thread, whatever smaller ones took."""
    bench = seen_to_be_brief()
    bench.job(2, body=bytes(1000))

    assert [id_ for id_, _ in bench.peer.answers] == [1]
    assert bench.engine.pending == 1


def test_a_run_that_was_not_brief_after_all_is_the_last_in_place() -> None:
    """One may hold the loop up; the next goes to a thread until one of its size is brief again."""
    bench = seen_to_be_brief()
    taking(bench, 0.001)
    bench.job(2)
    bench.job(3)
    assert [id_ for id_, _ in bench.peer.answers] == [1, 2]

    taking(bench, 0.0001)
    bench.work()
    bench.job(4)
    assert [id_ for id_, _ in bench.peer.answers] == [1, 2, 3, 4]


@pytest.mark.parametrize("waiting", [1, 2])
def test_nothing_is_done_in_place_while_something_else_is_under_way(waiting: int) -> None:
    """It would be computed beside it, and answered before it."""
    bench = seen_to_be_brief()
    for id_ in range(waiting):
        bench.job(10 + id_, body=bytes(1000))
    bench.job(2)

    assert [id_ for id_, _ in bench.peer.answers] == [1]
    assert bench.engine.pending == waiting + 1
