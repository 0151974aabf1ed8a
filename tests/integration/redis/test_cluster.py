# SPDX-License-Identifier: Apache-2.0
"""The nodes of a Redis Cluster, which share the keys among them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.support.redis import RedisServer, Times, free_port, payload, response, store_at, written

if TYPE_CHECKING:
    from collections.abc import Iterator

_SLOTS = 16384


def node() -> RedisServer:
    """One that is to be a node."""
    options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
    return RedisServer(*options, "--cluster-port", str(free_port()), port=free_port())


@contextmanager
def cluster() -> Iterator[list[RedisServer]]:
    """Three nodes with a third of the slots each."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(node()) for _ in range(3)]
        for number, each in enumerate(nodes):
            first, last = _SLOTS * number // 3, _SLOTS * (number + 1) // 3 - 1
            each.say("CLUSTER", "ADDSLOTSRANGE", first, last)
            each.say("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for other in nodes[1:]:
            bus = int(nodes[0].told("CONFIG", "GET", "cluster-port")[b"cluster-port"])
            other.say("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, bus)
        while not all(knows_all(each) for each in nodes):
            pass
        yield nodes


def knows_all(node: RedisServer) -> bool:
    """Whether *node* has heard who has which slots."""
    told = node.told("CLUSTER", "INFO")
    return b"cluster_state:ok" in told and b"cluster_slots_ok:%d" % _SLOTS in told


async def test_a_cluster_keeps_answers_leases_and_purges() -> None:
    """Keys lie on all nodes, and one look-up of many asks each node for its own."""
    times = Times()
    with cluster() as nodes:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        async with store_at(url, times=times) as store:
            keys = [b"%d" % number for number in range(60)]
            for key in keys:
                assert store.put(key, response(key), len(key), ttl=60)
            await written(store)
            assert store.writes.written == 60
            assert all(node.say("DBSIZE") > 5 for node in nodes)

            many = await store.fetch_many([*keys, b"none"]) or []
            assert [None if kept is None else payload(kept.value) for kept in many] == [*keys, None]

            token = await store.lease(b"k", 60)
            assert token
            assert await store.lease(b"k", 60) is None
            store.release(b"k", token)
            while await store.lease(b"k", 60) is None:
                pass
            assert await store.purge(model="m")
            assert await store.generations.refresh()

            # One node goes: what the others have is still there, and nothing raises.
            nodes[2].kill()
            found: list[object] = []
            while sum(each is not None for each in found) < 30:
                times.clock.now += 60
                found = [*(await store.fetch_many(keys) or ())]
                await asyncio.sleep(0.001)
            assert any(each is None for each in found)


async def test_a_cluster_that_is_away_is_no_more_than_a_cache_that_is() -> None:
    """Nobody listens at any of its nodes."""
    url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    async with store_at(url, known=False) as store:
        for _ in range(9):
            assert not await store.generations.refresh()
            assert await store.lease(b"k", 1) == b""
        assert store.state == "open"
        assert store.ways["read"].errors["connection"] == 5


async def test_a_server_that_is_in_no_cluster_is_none() -> None:
    """The URL says that there is one."""
    with RedisServer(port=free_port()) as server:
        async with store_at(f"redis+cluster://127.0.0.1:{server.port}", known=False) as store:
            for _ in range(9):
                assert not await store.generations.refresh()
            assert store.state == "open"
