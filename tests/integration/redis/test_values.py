# SPDX-License-Identifier: Apache-2.0
"""What stands under a key is not what was written there."""

from __future__ import annotations

import base64

import pytest

from gateway.stores.frame import HEAD
from tests.support.redis import RedisServer, payload, response, store_at, written

FIRST = base64.b64encode(b"1" * 32).decode()
SECOND = base64.b64encode(b"2" * 32).decode()
SECRET = "a secret of many characters"


@pytest.mark.parametrize(
    ("reason", "place", "value"),
    [
        ("foreign", 0, b"X"),
        ("schema", 4, b"\x63"),
        ("key", 5, b"\x01"),
        ("corrupt", 12, b"\xff"),
        ("corrupt", HEAD.size + 3, b"\xff"),
        ("too_large", 42, b"\xff"),
    ],
)
async def test_a_changed_value_is_a_counted_miss(reason: str, place: int, value: bytes) -> None:
    """Whichever part of it was changed, and whoever did it."""
    with RedisServer() as server:
        async with store_at(server.url) as store:
            store.put(b"k", response(), 4, ttl=60)
            await written(store)
            server.say("SETRANGE", "infergate:k", place, value)

            assert await store.fetch(b"k") is None
            assert store.refused == {**dict.fromkeys(store.refused, 0), reason: 1}
            # It is overwritten by the next answer.
            store.put(b"k", response(), 4, ttl=60)
            await written(store)
            assert await store.fetch(b"k") is not None


@pytest.mark.parametrize("foreign", [b"", b"text", b"x" * 1000])
async def test_a_foreign_value_is_a_counted_miss(foreign: bytes) -> None:
    """Somebody else uses the same names."""
    with RedisServer() as server:
        async with store_at(server.url) as store:
            server.say("SET", "infergate:k", foreign)
            server.say("LPUSH", "infergate:list", "x")

            assert await store.fetch(b"k") is None
            assert await store.fetch(b"list") is None
            assert store.refused["foreign"] == 1
            assert sum(store.ways["read"].errors.values()) == 0


async def test_a_value_moved_to_another_key_is_refused() -> None:
    """It is an answer, but to another question."""
    with RedisServer() as server:
        async with store_at(server.url) as store:
            store.put(b"a", response(), 4, ttl=60)
            await written(store)
            server.say("COPY", "infergate:a", "infergate:b")

            assert await store.fetch(b"b") is None
            assert store.refused["corrupt"] == 1


async def test_who_has_no_secret_can_neither_use_nor_plant_values() -> None:
    """With a secret values are signed: others' are refused, each by the other."""
    with RedisServer() as server:
        async with (
            store_at(server.url) as open_to_all,
            store_at(server.url, secret=SECRET) as signing,
        ):
            open_to_all.put(b"k", response(b"planted"), 7, ttl=60)
            await written(open_to_all)
            assert await signing.fetch(b"k") is None
            assert signing.refused["key"] == 1

            signing.put(b"k", response(b"signed"), 6, ttl=60)
            await written(signing)
            assert await open_to_all.fetch(b"k") is None
            kept = await signing.fetch(b"k")
            assert kept is not None
            assert payload(kept.value) == b"signed"


async def test_keys_rotate_without_losing_entries() -> None:
    """The new key in front writes, both read; with the old one taken away its values are misses."""
    with RedisServer() as server:
        async with store_at(server.url, encryption_keys=(FIRST,)) as store:
            store.put(b"k", response(b"hidden"), 6, ttl=60)
            await written(store)
        assert b"hidden" not in server.say("GET", "infergate:k")
        async with store_at(server.url, encryption_keys=(SECOND, FIRST)) as store:
            kept = await store.fetch(b"k")
            assert kept is not None
            assert payload(kept.value) == b"hidden"
        async with store_at(server.url, encryption_keys=(SECOND,)) as store:
            assert await store.fetch(b"k") is None
            assert store.refused["key"] == 1


async def test_every_key_has_a_prefix_and_a_time_to_live() -> None:
    """Nothing that this program writes stays for ever."""
    with RedisServer() as server:
        async with store_at(server.url, prefix="mine") as store:
            store.put(b"k", response(), 4, ttl=60)
            assert await store.lease(b"k", 5)
            await store.purge(tenant="acme")
            await written(store)

        keys = server.say("KEYS", "*")
        assert sorted(keys) == [b"mine:k", b"mine:lease:k", b"mine:purges"]
        assert all(server.say("PTTL", key) > 0 for key in keys)
        assert b"acme" not in b"".join(server.say("HGETALL", "mine:purges"))
