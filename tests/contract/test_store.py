# SPDX-License-Identifier: Apache-2.0
"""What every store promises, wherever it keeps its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from gateway.stores.memory import MemoryStore
from tests.support.upstream import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.stores.store import Store


class Timed(NamedTuple):
    """A store and the clock that it goes by."""

    store: Store[bytes]
    clock: Clock


def memory() -> Timed:
    """The store in this process."""
    clock = Clock()
    return Timed(MemoryStore(max_bytes=1 << 20, clock=clock), clock)


@pytest.fixture(params=[memory])
def timed(request: pytest.FixtureRequest) -> Timed:
    """Each store, empty."""
    make: Callable[[], Timed] = request.param
    return make()


async def test_what_is_kept_is_found(timed: Timed) -> None:
    """With its age, and the time that it has left."""
    assert await timed.store.keep(b"k" * 16, b"value", size=5, ttl=60)
    timed.clock.now += 20

    kept = await timed.store.fetch(b"k" * 16)

    assert kept is not None
    assert kept.value == b"value"
    assert kept.age == pytest.approx(20, abs=0.1)
    assert kept.ttl == pytest.approx(40, abs=0.1)


async def test_another_key_is_not_found(timed: Timed) -> None:
    """Keys are told apart by every byte."""
    await timed.store.keep(b"k" * 16, b"value", size=5, ttl=60)

    assert await timed.store.fetch(b"k" * 15 + b"j") is None


async def test_an_expired_value_is_not_found(timed: Timed) -> None:
    """A time to live is a promise to forget."""
    await timed.store.keep(b"k" * 16, b"value", size=5, ttl=60)
    timed.clock.now += 60.1

    assert await timed.store.fetch(b"k" * 16) is None


async def test_the_last_value_under_a_key_is_the_one(timed: Timed) -> None:
    """Keeping again replaces value and time."""
    await timed.store.keep(b"k" * 16, b"old", size=3, ttl=10)
    await timed.store.keep(b"k" * 16, b"new", size=3, ttl=60)
    timed.clock.now += 20

    kept = await timed.store.fetch(b"k" * 16)

    assert kept is not None
    assert kept.value == b"new"


async def test_a_value_that_does_not_fit_is_declined(timed: Timed) -> None:
    """The caller is told; nothing is raised."""
    assert not await timed.store.keep(b"k" * 16, b"", size=1 << 40, ttl=60)
    assert await timed.store.fetch(b"k" * 16) is None


async def test_a_closed_store_is_empty_and_takes_nothing(timed: Timed) -> None:
    """A request that is still under way at the end must not fail for it."""
    await timed.store.keep(b"k" * 16, b"value", size=5, ttl=60)
    await timed.store.aclose()

    assert await timed.store.fetch(b"k" * 16) is None
    assert not await timed.store.keep(b"k" * 16, b"value", size=5, ttl=60)
