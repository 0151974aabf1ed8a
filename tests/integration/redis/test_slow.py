# SPDX-License-Identifier: Apache-2.0
"""Redis answers 200 ms late, as over a bad network."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.redis import RedisServer, Times, response, state, store_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    before: Callable[[], Awaitable[None]],
) -> None:
    """Pass on what comes, each part after *before*."""
    while data := await reader.read(1 << 16):
        await before()
        writer.write(data)
        await writer.drain()


async def test_a_slow_redis_is_left_alone_and_used_again_when_it_is_quick() -> None:
    """Answers come, but nobody waits for them; their values are lost, not mixed up."""
    times, delay = Times(), [0.2]
    ends: set[asyncio.Task[None]] = set()

    async def late() -> None:
        await asyncio.sleep(delay[0])

    async def at_once() -> None:
        pass

    with RedisServer() as server:

        async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            from_redis, to_redis = await asyncio.open_unix_connection(server.path)
            both = [
                asyncio.ensure_future(pump(reader, to_redis, at_once)),
                asyncio.ensure_future(pump(from_redis, writer, late)),
            ]
            ends.update(both)
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for end in both:
                end.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            to_redis.close()
            writer.close()

        relay = await asyncio.start_server(between, "127.0.0.1", 0)
        port = relay.sockets[0].getsockname()[1]
        async with store_at(
            f"redis://127.0.0.1:{port}", times=times, known=False, timeout=0.02
        ) as store:
            way = store.ways["read"]
            for _ in range(30):
                assert not await store.generations.refresh()
                assert await store.lease(b"k", 1) == b""
            assert state(store) == "open"
            # Five failures, and not thirty times twenty milliseconds.
            assert way.errors["timeout"] + way.errors["connection"] == 5

            delay[0] = 0.0
            way._timeout = store.ways["write"]._timeout = 20
            while not await store.generations.refresh():
                times.clock.now += 60
                await asyncio.sleep(0.001)
            assert state(store) == "closed"
            while not store.put(b"k", response(), 4, ttl=60):
                times.clock.now += 60
                await asyncio.sleep(0.001)
            assert await store.fetch(b"k") is not None
        relay.close()
        await asyncio.gather(*ends, return_exceptions=True)
