# SPDX-License-Identifier: Apache-2.0
"""Redis is full and evicts nothing (``noeviction``)."""

from __future__ import annotations

from tests.support.redis import RedisServer, Times, response, state, store_at, written


async def test_a_full_redis_is_read_and_written_again_when_there_is_room() -> None:
    """Refused writes are dropped and counted; after a few of them none is tried for a while."""
    times = Times()
    with RedisServer("--maxmemory-policy", "noeviction") as server:
        async with store_at(server.url, times=times) as store:
            store.put(b"k", response(), 4, ttl=60)
            await written(store)
            server.say("CONFIG", "SET", "maxmemory", "1")

            for number in range(20):
                store.put(b"w%d" % number, response(), 4, ttl=60)
                await written(store)
                assert await store.fetch(b"k") is not None

            assert state(store) == "closed"
            assert state(store.ways["write"]) == "open"
            assert store.ways["write"].errors["refused"] == 5
            assert store.writes.dropped["refused"] == 5
            assert store.writes.dropped["open"] == 15
            assert await store.lease(b"l", 1) == b""

            # Still full: the probe is a write, so that the breaker is not closed in vain.
            times.clock.now += 1
            assert not store.put(b"w", response(), 4, ttl=60)
            while state(store.ways["write"]) == "half-open":
                await store.fetch(b"k")
            assert state(store.ways["write"]) == "open"

            server.say("CONFIG", "SET", "maxmemory", "0")
            times.clock.now += 2
            while not store.put(b"w", response(), 4, ttl=60):
                await store.fetch(b"k")
            await written(store)
            assert server.say("EXISTS", "infergate:w") == 1
