# SPDX-License-Identifier: Apache-2.0
"""Writes: what waits, what leaves together, what is dropped, and the accounts of all that."""

from __future__ import annotations

from random import Random

import hiredis
import pytest

from gateway.stores.frame import Refused
from gateway.stores.writes import DROPS, Write, Writes
from tests.support.channels import ScriptedChannel
from tests.support.redis import response
from tests.support.upstream import settle


def write(size: int = 10, ttl: float = 60) -> Write:
    """A value that says of itself that it has *size* bytes."""
    return Write(response(), size, 0, ttl, 0)


def encode(key: bytes, what: Write) -> bytes:
    """Not a frame, but told apart."""
    if what.size == 13:
        raise Refused("too_large")
    return b"frame of " + key


async def test_values_gather_while_a_pipeline_is_under_way() -> None:
    """The first leaves alone, the others together; each with its time to live."""
    channel = ScriptedChannel()
    writes = Writes(channel, encode)
    assert writes.put(b"a", write(ttl=0.25))
    await settle()
    for key in (b"b", b"c"):
        writes.put(key, write())
    await settle()
    assert len(channel.calls) == 1

    assert channel.answer([b"OK"]) == [("SET", b"a", b"frame of a", "PX", 250)]
    await settle()
    assert [command[1] for command in channel.answer([b"OK", b"OK"])] == [b"b", b"c"]
    await settle()
    assert (writes.written, writes.bytes, writes.dropped) == (3, 0, dict.fromkeys(DROPS, 0))
    await writes.aclose()


async def test_what_is_on_its_way_is_found() -> None:
    """Until it is written; the last that was put under a key is the one."""
    channel = ScriptedChannel()
    writes = Writes(channel, encode)
    first, second = write(), write(20)
    writes.put(b"a", first)
    await settle()
    writes.put(b"a", second)
    assert writes.pending(b"a") is second
    channel.answer([b"OK"])
    await settle()
    assert writes.pending(b"a") is second
    channel.answer([b"OK"])
    await settle()
    assert writes.pending(b"a") is None
    await writes.aclose()


@pytest.mark.parametrize(("entries", "size"), [(3, 10), (100, 800)])
async def test_what_does_not_fit_is_dropped(entries: int, size: int) -> None:
    """By number or by bytes; what waits stays."""
    channel = ScriptedChannel()
    writes = Writes(channel, encode, max_entries=entries, max_bytes=4000)
    taken = [writes.put(b"%d" % number, write(size)) for number in range(5)]

    assert taken == [True, True, True, False, False]
    assert writes.dropped["queue"] == 2
    await writes.aclose()
    assert writes.bytes == 0
    assert not writes.put(b"k", write())


async def test_each_drop_has_its_reason() -> None:
    """Refused by the server, not answered, too large, and while the breaker is open."""
    channel = ScriptedChannel()
    writes = Writes(channel, encode)
    for key, size in ((b"a", 10), (b"b", 10), (b"c", 13)):
        writes.put(key, write(size))
    await settle()
    channel.answer([hiredis.ReplyError("OOM"), b"OK"])
    await settle()
    assert (writes.dropped["refused"], writes.dropped["too_large"], writes.written) == (1, 1, 1)

    writes.put(b"d", write())
    await settle()
    channel.answer(None)
    await settle()
    assert writes.dropped["failed"] == 1

    channel.works = False
    assert not writes.put(b"e", write())
    assert writes.dropped["open"] == 1
    assert writes.bytes == 0
    await writes.aclose()


async def test_an_open_breaker_empties_the_queue() -> None:
    """What waited is dropped, not kept for who knows how long."""
    channel = ScriptedChannel()
    writes = Writes(channel, encode)
    writes.put(b"a", write())
    await settle()
    writes.put(b"b", write())
    for _ in range(5):
        channel.breaker.failed()
    channel.answer(None)
    await settle()

    assert (writes.dropped["open"], writes.bytes) == (2, 0)
    assert not channel.calls
    await writes.aclose()


async def test_a_lease_is_given_back_behind_the_value() -> None:
    """Whoever waits must not find the lease gone and the value not there yet."""
    channel = ScriptedChannel()
    writes = Writes(channel, encode)
    for number in range(100):
        writes.put(b"%d" % number, write())
    writes.release(b"lease", b"token")
    for number in range(100, 150):
        writes.put(b"%d" % number, write())

    order = []
    while writes.bytes or channel.calls:
        await settle()
        commands = channel.calls[0][0]
        order += [command[0] for command in commands]
        if commands[0][0] == "EVAL":
            assert commands[0][2:] == (1, b"lease", b"token")
        channel.answer([b"OK"] * len(commands))
        await settle()

    assert order.count("EVAL") == 1
    assert order[: order.index("EVAL")].count("SET") >= 100
    await writes.aclose()


async def test_accounts_agree_after_any_use() -> None:
    """Two thousand random calls: what is taken is written, dropped, replaced or still waiting."""
    rng, channel = Random(3), ScriptedChannel()
    writes = Writes(channel, encode, max_entries=50, max_bytes=40_000)
    for _ in range(2000):
        if rng.random() < 0.7:
            writes.put(b"%d" % rng.randrange(80), write(rng.choice([0, 13, 500, 5000])))
        elif channel.calls:
            commands = channel.calls[0][0]
            replies = [rng.choice([b"OK", hiredis.ReplyError("OOM")]) for _ in commands]
            channel.answer(rng.choice([None, replies]))
        if rng.random() < 0.2:
            await settle()
        waiting = {**writes._waiting}
        weight = sum(w.size + 500 for w in [*waiting.values(), *writes._flying.values()])
        assert writes.bytes == weight <= 40_000
        assert len(waiting) + len(writes._flying) <= 50
    assert min(writes.dropped[why] for why in ("queue", "failed", "refused", "too_large")) > 0
    await writes.aclose()
