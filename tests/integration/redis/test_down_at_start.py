# SPDX-License-Identifier: Apache-2.0
"""Redis is not there when the gateway starts, and comes later."""

from __future__ import annotations

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


async def test_a_gateway_starts_without_redis_and_finds_it_later() -> None:
    """Nothing is raised and nothing tried for ever; when Redis comes, a probe brings it back."""
    server, times = RedisServer(), Times()
    async with store_at(server.url, times=times, known=False) as store:
        assert state(store) == "closed"
        for _ in range(20):
            assert not await store.generations.refresh()
            assert await store.fetch(b"k") is None

        assert state(store) == "open"
        # Five failures were enough; what came then touched no socket.
        assert store.ways["read"].errors["connection"] == 5
        assert not store.put(b"k", response(), 4, ttl=60) or store.ways["write"].breaker.closed

        with server:
            times.clock.now += 1
            assert not await store.generations.refresh()
            await seen(store, "closed")
            assert await store.generations.refresh()
            times.clock.now += 100
            while not store.put(b"k", response(b"back"), 4, ttl=60):
                await store.generations.refresh()
            await written(store)
            kept = await store.fetch(b"k")
            assert kept is not None
            assert payload(kept.value) == b"back"


async def test_nothing_is_found_before_it_is_known_what_was_purged() -> None:
    """A start must not bring back what was purged before it."""
    with RedisServer() as server:
        async with store_at(server.url) as first:
            first.put(b"k", response(), 4, ttl=60)
            await written(first)
            assert await first.purge(model="m")

            async with store_at(server.url, known=False) as second:
                assert not second.available
                assert await second.fetch(b"k") is None
                assert await second.generations.refresh()
                assert second.generations.of("m") == first.generations.of("m") > 0
                assert await second.fetch(b"k") is not None
