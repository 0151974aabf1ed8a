# SPDX-License-Identifier: Apache-2.0
"""Sentinels name another master, because the old one is gone or is a copy now."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import redis

from tests.support.redis import (
    RedisServer,
    Times,
    free_port,
    payload,
    response,
    store_at,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Sentinel(RedisServer):
    """A real Sentinel that watches one master, the service ``answers``."""

    def __init__(self, file: Path, master: RedisServer) -> None:
        super().__init__(port=free_port())
        file.write_text(
            f"sentinel monitor answers 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds answers 100\n"
            "sentinel failover-timeout answers 2000\n"
        )
        self._file = file

    def command(self) -> list[str]:
        """As a Sentinel it takes a file that it may change, and no store's options."""
        return [
            "redis-server", str(self._file), "--sentinel", "--port", str(self.port),
            "--bind", "127.0.0.1", "--unixsocket", str(self.path),
        ]  # fmt: skip


@contextmanager
def household() -> Iterator[tuple[RedisServer, RedisServer, Sentinel]]:
    """A master, its copy, and a Sentinel that knows both."""
    with (
        TemporaryDirectory() as directory,
        RedisServer(port=free_port()) as master,
        RedisServer("--repl-diskless-sync-delay", "0", port=free_port()) as copy,
    ):
        copy.say("REPLICAOF", "127.0.0.1", master.port)
        while b"master_link_status:up" not in copy.told("INFO", "replication"):
            pass
        with Sentinel(Path(directory) / "sentinel.conf", master) as sentinel:
            # It learns of copies from the master; only one that it knows can take over.
            while b"slaves=1" not in sentinel.told("INFO", "sentinel"):
                pass
            yield master, copy, sentinel


async def test_the_new_master_is_found() -> None:
    """The old one is killed: misses until the Sentinels have chosen, then entries of the copy."""
    times = Times()
    with household() as (master, copy, sentinel):
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/answers"
        async with store_at(url, times=times) as store:
            store.put(b"k", response(b"both"), 4, ttl=60)
            await written(store)
            while copy.say("EXISTS", "infergate:k") == 0:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0)

            master.kill()
            while (kept := await store.fetch(b"k")) is None:
                times.clock.now += 60
                await asyncio.sleep(0.01)
            assert payload(kept.value) == b"both"

            while not await store.purge(model="m"):
                times.clock.now += 60
                await asyncio.sleep(0.01)
            assert int(copy.say("HGET", "infergate:purges", "model:m")) > 0


async def test_a_master_that_has_become_a_copy_is_left() -> None:
    """Its refusal of a write is how the change is noticed: it would answer for ever."""
    times = Times()
    with household() as (master, copy, sentinel):
        async with store_at(
            f"redis+sentinel://127.0.0.1:{sentinel.port}/answers", times=times
        ) as store:
            store.put(b"k", response(), 4, ttl=60)
            await written(store)
            address = [b"127.0.0.1", b"%d" % copy.port]
            while sentinel.told("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "answers") != address:
                # Until it has heard enough of the copy, and while it is at it, it says no.
                with suppress(redis.ResponseError):
                    sentinel.say("SENTINEL", "FAILOVER", "answers")
                await asyncio.sleep(0.01)
            # What it tells the old master, too, but not before some seconds have passed.
            master.say("REPLICAOF", "127.0.0.1", copy.port)

            number = 0
            while copy.say("EXISTS", b"infergate:w%d" % number) == 0:
                number += 1
                times.clock.now += 60
                store.put(b"w%d" % number, response(), 4, ttl=60)
                await written(store)
                await asyncio.sleep(0.01)
            assert await store.fetch(b"k") is not None
