# SPDX-License-Identifier: Apache-2.0
"""Redis is there and says nothing: connections stay open, and no reply comes."""

from __future__ import annotations

import asyncio

from tests.support.redis import RedisServer, Times, response, seen, state, store_at, written


async def test_the_first_calls_wait_their_budget_and_the_others_not_at_all() -> None:
    """The breaker opens with the fifth call that brought nothing, and ends all that wait."""
    times = Times()
    with RedisServer() as server:
        async with store_at(server.url, times=times) as warm:
            warm.put(b"k", response(), 4, ttl=60)
            await written(warm)
        async with store_at(server.url, times=times, timeout=0.02, connect_timeout=0.5) as store:
            while not await store.generations.refresh():
                times.clock.now += 2
            server.freeze()
            way = store.ways["read"]
            before = dict(way.errors)

            for _ in range(5):
                assert state(store) == "closed"
                # Calls that begin together share one budget, however many they are.
                many = await asyncio.gather(*[store.fetch(b"k") for _ in range(50)])
                assert many == [None] * 50
            assert state(store) == "open"
            assert way.errors["timeout"] - before["timeout"] == 5

            # From now on nothing is waited for: each look-up ends in the turn it began in.
            loop = asyncio.get_running_loop()
            turns: list[int] = []
            loop.call_soon(turns.append, 1)
            for _ in range(1000):
                assert await store.fetch(b"k") is None
            assert turns == []
            assert way.errors["timeout"] - before["timeout"] == 5

            server.thaw()
            while state(store) != "closed":
                times.clock.now += 60
                await store.fetch(b"k")
                await asyncio.sleep(0.001)
            while await store.fetch(b"k") is None:
                times.clock.now += 60
                await asyncio.sleep(0)


async def test_a_probe_that_is_not_answered_opens_the_breaker_for_longer() -> None:
    """1 s, then 2 s, then 4 s; no request is the probe."""
    times = Times()
    with RedisServer() as server:
        async with store_at(
            server.url, times=times, known=False, timeout=0.01, connect_timeout=0.01
        ) as store:
            server.freeze()
            for _ in range(5):
                await store.generations.refresh()
            assert state(store) == "open"
            for opening in (1, 2, 4):
                times.clock.now += opening - 0.01
                assert not store.ways["read"].usable()
                assert state(store) == "open"
                times.clock.now += 0.01
                assert not store.ways["read"].usable()
                assert state(store) == "half-open"
                assert not store.ways["read"].usable()
                await seen(store, "open")


async def test_late_replies_are_not_taken_for_others() -> None:
    """What a call no longer waits for comes all the same, and belongs to nobody."""
    with RedisServer() as server:
        async with store_at(server.url) as store:
            for name in (b"a", b"b"):
                store.put(name, response(name), 1, ttl=60)
            await written(store)
            way = store.ways["read"]
            server.freeze()
            way._timeout = 0.001
            assert await store.fetch(b"a") is None
            way._timeout = 20
            later = asyncio.ensure_future(store.fetch(b"b"))
            await asyncio.sleep(0)
            server.thaw()
            kept = await later
            assert kept is not None
            assert kept.value.outputs[0].data == b"b"
