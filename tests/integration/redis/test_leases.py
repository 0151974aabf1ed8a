# SPDX-License-Identifier: Apache-2.0
"""Two gateways that share a Redis and lack the same entry."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.stores.leases import TOKEN
from tests.support.redis import RedisServer, payload, response, store_at, written

if TYPE_CHECKING:
    from gateway.stores.redis import RedisStore


async def test_one_fills_and_the_other_gets_it() -> None:
    """The value is there before the lease is given back."""
    with RedisServer() as server:
        async with store_at(server.url) as one, store_at(server.url) as two:
            token = await one.lease(b"k", 60)
            assert token is not None
            assert len(token) == TOKEN
            assert await two.lease(b"k", 60) is None
            waiting = asyncio.ensure_future(two.wait(b"k", 60))
            await asyncio.sleep(0)

            one.put(b"k", response(b"made once"), 9, ttl=60, cost=0.5)
            one.release(b"k", token)

            kept = await waiting
            assert kept is not None
            assert (payload(kept.value), kept.cost) == (b"made once", 0.5)
            while await two.lease(b"k", 60) is None:
                pass


async def test_many_who_ask_at_once_are_given_one_lease() -> None:
    """However many gateways there are, and in one turn of the loop."""
    with RedisServer() as server:
        async with store_at(server.url) as one, store_at(server.url) as two:

            async def ask(store: RedisStore) -> bytes | None:
                return await store.lease(b"k", 60)

            tokens = await asyncio.gather(*[ask(store) for store in (one, two) for _ in range(500)])

            assert len([token for token in tokens if token is not None]) == 1


async def test_a_fill_that_failed_lets_another_one_begin() -> None:
    """Whoever waits hears of it as soon as the lease is gone, not when its patience ends."""
    with RedisServer() as server:
        async with store_at(server.url) as one, store_at(server.url) as two:
            token = await one.lease(b"k", 60)
            assert token
            waiting = asyncio.ensure_future(two.wait(b"k", 3600))
            await asyncio.sleep(0)

            one.release(b"k", token)

            assert await waiting is None
            assert await two.lease(b"k", 60)


async def test_a_lease_is_given_back_by_its_holder_alone() -> None:
    """One that took too long must not end the lease of whoever came after it."""
    with RedisServer() as server:
        async with store_at(server.url) as store:
            late = await store.lease(b"k", 60)
            assert late
            server.say("DEL", "infergate:lease:k")  # its time is over
            now = await store.lease(b"k", 60)
            assert now

            store.release(b"k", late)
            store.put(b"after", response(), 4, ttl=60)
            store.release(b"after", b"-")
            await written(store)
            assert await store.lease(b"other", 60)  # behind what was released

            assert server.say("GET", "infergate:lease:k") == now


async def test_without_redis_each_fills_by_itself() -> None:
    """No lease, nothing to wait for, nothing raised."""
    async with store_at("unix:/nowhere/at/all", known=False) as store:
        assert await store.lease(b"k", 60) == b""
        assert await store.wait(b"k", 60) is None
        store.release(b"k", b"")


async def test_purges_reach_other_gateways() -> None:
    """Of a model, of a tenant, of everything; others' entries stay reachable."""
    with RedisServer() as server:
        async with store_at(server.url, poll=3600) as one, store_at(server.url, poll=3600) as two:
            told: list[int] = []
            two.generations.subscribe(lambda: told.append(two.generations.of("m")))
            assert await one.purge(model="m")
            assert two.generations.of("m") == 0
            assert await two.generations.refresh()
            assert two.generations.of("m") == one.generations.of("m") > 0
            assert two.generations.of("other") == 0
            assert told == [one.generations.of("m")]

            before = two.generations.of("m", "acme")
            assert await two.purge(tenant="acme")
            assert await one.generations.refresh()
            assert one.generations.of("m", "acme") > before
            assert one.generations.of("m", "other") == before

            assert await one.purge()
            assert one.generations.of("other") > two.generations.of("m", "acme")
