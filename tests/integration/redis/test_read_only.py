# SPDX-License-Identifier: Apache-2.0
"""The server is a copy that takes no writes, as a master is after a failover."""

from __future__ import annotations

from tests.support.redis import RedisServer, Times, response, state, store_at, written


async def test_a_copy_is_read_and_its_refusals_are_counted() -> None:
    """Look-ups go on; writes are left alone for a while, and work when it is the master again."""
    times = Times()
    with RedisServer() as server:
        async with store_at(server.url, times=times) as store:
            store.put(b"k", response(), 4, ttl=60)
            await written(store)
            # Nobody listens at port 1: it stays a copy without a master.
            server.say("REPLICAOF", "127.0.0.1", "1")

            for number in range(20):
                store.put(b"w%d" % number, response(), 4, ttl=60)
                assert await store.lease(b"l", 1) == b""
                await written(store)
                assert await store.fetch(b"k") is not None

            assert state(store) == "closed"
            way = store.ways["write"]
            assert state(way) == "open"
            assert way.errors["refused"] == 5
            assert store.writes.dropped["refused"] >= 1
            assert store.writes.dropped["open"] >= 1
            assert not await store.purge(model="m")
            purged = store.generations.of("m")
            assert purged > 0

            server.say("REPLICAOF", "NO", "ONE")
            times.clock.now += 1
            while not way.usable():
                await store.generations.refresh()
            # What it could not be told then it is told now.
            assert await store.generations.refresh()
            assert int(server.say("HGET", "infergate:purges", "model:m")) == purged
            store.put(b"w", response(), 4, ttl=60)
            await written(store)
            assert server.say("EXISTS", "infergate:w") == 1
