# SPDX-License-Identifier: Apache-2.0
"""Gradient: it finds how much a server can do at the same time."""

from __future__ import annotations

import pytest

from gateway.upstream.gradient import Gradient


def serve(gradient: Gradient, *, parallel: int, base: float, samples: int, rows: int = 1) -> None:
    """A server that does *parallel* at a time in *base* seconds; more of them queue."""
    for _ in range(samples):
        in_flight = gradient.limit
        gradient.observe(rows, base * max(1.0, in_flight / parallel), in_flight=in_flight)


@pytest.mark.parametrize("parallel", [4, 16, 64])
def test_finds_what_a_server_can_do(parallel: int) -> None:
    """Not less than it does at a time, and no long queue."""
    gradient = Gradient()
    # The average learns while the server is not loaded, as on any morning.
    for _ in range(200):
        gradient.observe(1, 0.01, in_flight=1)
    serve(gradient, parallel=parallel, base=0.01, samples=400)
    assert parallel <= gradient.limit <= 4 * parallel


def test_shrinks_when_the_server_becomes_slow() -> None:
    """Within some dozens of requests."""
    gradient = Gradient()
    serve(gradient, parallel=32, base=0.01, samples=400)
    before = gradient.limit
    serve(gradient, parallel=4, base=0.01, samples=60)
    assert gradient.limit < before / 2


def test_does_not_grow_while_it_is_not_used() -> None:
    """A limit that nobody meets says nothing."""
    gradient = Gradient(initial=8)
    for _ in range(500):
        gradient.observe(1, 0.01, in_flight=2)
    assert gradient.limit == 8


def test_large_requests_do_not_make_small_ones_look_quick() -> None:
    """Each size has its own average."""
    gradient = Gradient(initial=8)
    for _ in range(200):
        gradient.observe(1, 0.001, in_flight=8)
        gradient.observe(64, 0.1, in_flight=8)
    assert gradient.limit > 8


def test_refusals_take_a_tenth() -> None:
    """And never below the least."""
    gradient = Gradient(initial=20, least=2)
    gradient.failed()
    assert gradient.limit == 18
    for _ in range(100):
        gradient.failed()
    assert gradient.limit == 2
    assert repr(gradient) == "<Gradient 2.0>"


def test_recovers_after_a_slow_time() -> None:
    """The average follows down quickly, so that the next slow time is noticed."""
    gradient = Gradient()
    serve(gradient, parallel=16, base=0.1, samples=2000)
    serve(gradient, parallel=16, base=0.01, samples=200)
    limit = gradient.limit
    serve(gradient, parallel=2, base=0.01, samples=60)
    assert gradient.limit < limit


def test_refuses_bounds_that_contradict_each_other() -> None:
    """Named with their values."""
    with pytest.raises(ValueError, match="least=5"):
        Gradient(initial=4, least=5)
