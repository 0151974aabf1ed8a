# SPDX-License-Identifier: Apache-2.0
"""Redis is killed while it is in use, and started again empty."""

from __future__ import annotations

import asyncio

from tests.support.redis import (
    RedisServer,
    Times,
    payload,
    response,
    seen,
    state,
    store_at,
    written,
)


async def test_calls_under_way_end_and_a_restarted_redis_is_used() -> None:
    """Many look-ups at once when it dies: each is answered, none raises, all are misses."""
    times = Times()
    with RedisServer() as server:
        async with store_at(server.url, times=times) as store:
            store.put(b"k", response(b"old"), 3, ttl=60)
            await written(store)
            assert await store.fetch(b"k") is not None

            server.freeze()
            asked = [asyncio.ensure_future(store.fetch(b"k")) for _ in range(100)]
            await asyncio.sleep(0)
            server.kill()
            assert await asyncio.gather(*asked) == [None] * 100
            assert store.ways["read"].errors["connection"] == 1
            for _ in range(20):
                assert await store.fetch(b"k") is None
            assert state(store) == "open"

            server.start()
            times.clock.now += 1
            assert await store.fetch(b"k") is None
            await seen(store, "closed")
            assert await store.fetch(b"k") is None  # it is there again, and empty
            assert state(store) == "closed"
            store.put(b"k", response(b"new"), 3, ttl=60)
            await written(store)
            kept = await store.fetch(b"k")
            assert kept is not None
            assert payload(kept.value) == b"new"


async def test_a_connection_that_ended_while_idle_is_no_failure() -> None:
    """A server may close what nobody uses."""
    with RedisServer() as server:
        async with store_at(server.url) as store:
            assert await store.fetch(b"k") is None
            assert server.say("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") >= 1
            line = store.ways["read"]._line
            while line is not None and store.ways["read"]._line is line:  # noqa: ASYNC110
                await asyncio.sleep(0)

            assert await store.fetch(b"k") is None
            assert await store.generations.refresh()
            assert sum(store.ways["read"].errors.values()) == 0
