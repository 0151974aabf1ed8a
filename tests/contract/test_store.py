# SPDX-License-Identifier: Apache-2.0
"""What every store promises, wherever it keeps its values."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from gateway.stores.memory import MemoryStore
from gateway.stores.store import Kept, Store
from gateway.wire.message import InferResponse
from tests.support.redis import RedisServer, Times, payload, response, store_at, written
from tests.support.upstream import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.stores.redis import RedisStore


class Timed(NamedTuple):
    """A store and the clock that it goes by."""

    store: Store[InferResponse]
    clock: Clock


class Written:
    """A store in Redis that has written what it keeps before it says so."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self.fetch = store.fetch
        self.fetch_many = store.fetch_many
        self.aclose = store.aclose

    async def keep(
        self, key: bytes, value: InferResponse, *, size: int, ttl: float, cost: float = 0.0
    ) -> bool:
        """As the store, with the time that writing takes."""
        kept = await self._store.keep(key, value, size=size, ttl=ttl, cost=cost)
        await written(self._store)
        return kept


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A redis-server for all tests here; each begins with an empty one."""
    with RedisServer() as server:
        yield server


@asynccontextmanager
async def memory(server: RedisServer) -> AsyncIterator[Timed]:
    """The store in this process."""
    clock = Clock()
    store: MemoryStore[InferResponse] = MemoryStore(max_bytes=1 << 20, clock=clock)
    yield Timed(store, clock)


@asynccontextmanager
async def queued(server: RedisServer) -> AsyncIterator[Timed]:
    """The store in Redis, asked for what may still be on its way there."""
    server.say("FLUSHALL")
    times = Times()
    async with store_at(server.url, times=times) as store:
        yield Timed(store, times.now)


@asynccontextmanager
async def stored(server: RedisServer) -> AsyncIterator[Timed]:
    """The store in Redis, asked for what is there."""
    async with queued(server) as timed:
        yield Timed(Written(timed.store), timed.clock)  # type: ignore[arg-type]


@pytest.fixture(params=[memory, queued, stored])
async def timed(request: pytest.FixtureRequest, server: RedisServer) -> AsyncIterator[Timed]:
    """Each store, empty."""
    async with request.param(server) as made:
        yield made


def found(kept: Kept[InferResponse] | None) -> bytes | None:
    """What was put into the answer, None where there is none."""
    return None if kept is None else payload(kept.value)


async def test_what_is_kept_is_found(timed: Timed) -> None:
    """With its age, and the time that it has left."""
    assert await timed.store.keep(b"k" * 16, response(b"value"), size=5, ttl=60)
    timed.clock.now += 20

    kept = await timed.store.fetch(b"k" * 16)

    assert kept is not None
    assert payload(kept.value) == b"value"
    assert kept.age == pytest.approx(20, abs=0.1)
    assert kept.ttl == pytest.approx(40, abs=0.1)


async def test_another_key_is_not_found(timed: Timed) -> None:
    """Keys are told apart by every byte."""
    await timed.store.keep(b"k" * 16, response(b"value"), size=5, ttl=60)

    assert await timed.store.fetch(b"k" * 15 + b"j") is None


async def test_an_expired_value_is_not_found(timed: Timed) -> None:
    """A time to live is a promise to forget."""
    await timed.store.keep(b"k" * 16, response(b"value"), size=5, ttl=60)
    timed.clock.now += 60.1

    assert await timed.store.fetch(b"k" * 16) is None


async def test_the_last_value_under_a_key_is_the_one(timed: Timed) -> None:
    """Keeping again replaces value and time."""
    await timed.store.keep(b"k" * 16, response(b"old"), size=3, ttl=10)
    await timed.store.keep(b"k" * 16, response(b"new"), size=3, ttl=60)
    timed.clock.now += 20

    kept = await timed.store.fetch(b"k" * 16)

    assert kept is not None
    assert payload(kept.value) == b"new"


async def test_a_value_that_does_not_fit_is_declined(timed: Timed) -> None:
    """The caller is told; nothing is raised."""
    assert not await timed.store.keep(b"k" * 16, response(b""), size=1 << 40, ttl=60)
    assert await timed.store.fetch(b"k" * 16) is None


async def test_a_closed_store_is_empty_and_takes_nothing(timed: Timed) -> None:
    """A request that is still under way at the end must not fail for it."""
    await timed.store.keep(b"k" * 16, response(b"value"), size=5, ttl=60)
    await timed.store.aclose()

    assert await timed.store.fetch(b"k" * 16) is None
    assert not await timed.store.keep(b"k" * 16, response(b"value"), size=5, ttl=60)


async def test_many_are_fetched_in_their_order(timed: Timed) -> None:
    """What is there, what is not, and what is asked for twice."""
    for key in (b"a", b"b"):
        await timed.store.keep(key * 16, response(key), size=1, ttl=60, cost=0.5)

    many = await timed.store.fetch_many([b"b" * 16, b"c" * 16, b"a" * 16, b"b" * 16])

    assert many is not None
    assert [found(kept) for kept in many] == [b"b", None, b"a", b"b"]
    assert await timed.store.fetch_many([]) == []


async def test_what_a_value_cost_comes_with_it(timed: Timed) -> None:
    """Whoever finds it knows what was saved."""
    await timed.store.keep(b"k" * 16, response(b"value"), size=5, ttl=60, cost=0.25)

    (kept,) = await timed.store.fetch_many([b"k" * 16]) or [None]

    assert kept is not None
    assert (kept.cost, kept.age) == (0.25, 0)
