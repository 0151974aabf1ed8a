# SPDX-License-Identifier: Apache-2.0
"""Redis wants to know who comes."""

from __future__ import annotations

import logging

import pytest

from tests.support.redis import RedisServer, Times, payload, response, state, store_at, written

RIGHT, WRONG = "the-right-one", "the-wrong-one"


async def test_a_wrong_password_is_no_more_than_a_cache_that_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing raises; the log says what is wrong, and no password."""
    with RedisServer("--requirepass", RIGHT) as server, caplog.at_level(logging.DEBUG):
        async with store_at(server.url, password=WRONG, known=False) as store:
            for _ in range(20):
                assert not await store.generations.refresh()
            assert state(store) == "open"
            assert store.ways["read"].errors["connection"] == 5
            shown = f"{caplog.text} {store!r} {store.ways!r} {store.ways['read']._dial!r}"

    assert WRONG not in shown
    assert "WRONGPASS" in caplog.text


async def test_a_user_of_an_access_list_is_let_in() -> None:
    """With no more than the commands that the store needs, on its own keys."""
    with RedisServer() as server:
        server.say(
            "ACL", "SETUSER", "gateway", "on", f">{RIGHT}", "~infergate:*", "+auth", "+select",
            "+mget", "+get", "+set", "+del", "+eval", "+hgetall", "+hset", "+hdel", "+pexpire",
        )  # fmt: skip
        async with store_at(server.url, username="gateway", password=RIGHT) as store:
            store.put(b"k", response(b"mine"), 4, ttl=60)
            await written(store)
            kept = await store.fetch(b"k")
            assert kept is not None
            assert payload(kept.value) == b"mine"
            token = await store.lease(b"k", 60)
            assert token
            store.release(b"k", token)
            assert await store.purge()
            while await store.lease(b"k", 60) is None:
                pass
            for way in store.ways.values():
                assert sum(way.errors.values()) == 0


async def test_a_user_who_may_not_is_refused_quietly() -> None:
    """A rule that lacks a command costs that command's use and nothing else."""
    times = Times()
    with RedisServer() as server:
        server.say(
            "ACL", "SETUSER", "gateway", "on", f">{RIGHT}", "~infergate:*", "+auth", "+mget",
            "+hgetall",
        )  # fmt: skip
        async with store_at(server.url, times=times, username="gateway", password=RIGHT) as store:
            for number in range(10):
                store.put(b"%d" % number, response(), 4, ttl=60)
                await written(store)
                assert await store.fetch(b"k") is None
            assert store.ways["write"].errors["refused"] == 5
            assert state(store) == "closed"
