# SPDX-License-Identifier: Apache-2.0
"""Endpoint: one that says that it is busy is spared for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import Busy
from gateway.upstream.slow_start import SlowStart
from tests.support.endpoint_bench import Bench
from tests.support.upstream import MODEL, Clock

if TYPE_CHECKING:
    from gateway.upstream.endpoint import Endpoint


def resting(endpoint: Endpoint) -> float | None:
    """Seconds for which *endpoint* is still spared; None where it is not."""
    rest = endpoint._rest
    return None if rest is None else rest.when() - asyncio.get_running_loop().time()


async def test_a_busy_endpoint_is_spared_for_as_long_as_it_asks() -> None:
    """It is healthy, and full: requests wait, or go elsewhere."""
    bench = Bench()
    await bench.attempt(Busy("later", retry_after=7))
    assert bench.endpoint.healthy
    assert bench.endpoint.cap == 0
    assert resting(bench.endpoint) == pytest.approx(7, abs=1)
    changes = bench.notes.changes
    bench.endpoint._rested()
    assert bench.endpoint.cap == MODEL.parallelism + 1
    assert bench.notes.changes == changes + 1


async def test_being_busy_is_no_failure() -> None:
    """However often: it would be ejected for its answers."""
    bench = Bench()
    for _ in range(20):
        await bench.attempt(Busy("later"))
    assert bench.notes.ejections == []
    assert set(bench.notes.attempts) == {"overloaded"}


async def test_a_shorter_rest_does_not_end_a_longer_one() -> None:
    """And a longer one goes on."""
    bench = Bench()
    for seconds, expected in ((5.0, 5.0), (1.0, 5.0), (9.0, 9.0)):
        bench.endpoint.rests(seconds)
        assert resting(bench.endpoint) == pytest.approx(expected, abs=0.5)


async def test_a_new_life_is_not_spared() -> None:
    """It has not asked for it."""
    bench = Bench()
    bench.endpoint.rests(30)
    bench.peer.comes_up("2")
    assert resting(bench.endpoint) is None
    assert bench.endpoint.cap == MODEL.parallelism + 1


async def test_slow_start_does_not_cut_a_rest_short() -> None:
    """A cap that grows by the clock would send what the endpoint does not want."""
    bench = Bench(cap=8)
    slow = SlowStart(lambda _: None, clock=Clock())
    bench.endpoint.rests(30)
    slow._raise(bench.endpoint, 4, 4 - 1)
    assert bench.endpoint.cap == 0
    slow.review([bench.endpoint])
    assert bench.endpoint.cap == 0
    slow.forget(bench.endpoint)
