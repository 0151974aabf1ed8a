# SPDX-License-Identifier: Apache-2.0
"""MemoryStore: what it keeps, what it lets go of, and how it counts."""

from __future__ import annotations

from random import Random

import pytest

from gateway.stores.memory import OVERHEAD, MemoryStore
from gateway.telemetry import Telemetry
from tests.support.upstream import Clock


def store(*, entries: int = 3, size: int = 100, clock: Clock | None = None) -> MemoryStore[str]:
    """A store with room for so many *entries* of *size* bytes."""
    return MemoryStore(max_bytes=entries * (size + OVERHEAD), clock=clock or Clock())


def test_what_was_put_is_there() -> None:
    """Under its key, and under no other."""
    kept = store()
    assert kept.put(b"a", "1", 100)

    assert kept.get(b"a") == "1"
    assert kept.get(b"b") is None
    assert (kept.hits, kept.misses, len(kept)) == (1, 1, 1)


def test_the_least_recently_used_goes_first() -> None:
    """Reading an entry keeps it, however old it is."""
    kept = store(entries=3)
    for key in (b"a", b"b", b"c"):
        kept.put(key, key.decode(), 100)
    kept.get(b"a")

    kept.put(b"d", "d", 100)

    assert [kept.get(key) for key in (b"a", b"b", b"c", b"d")] == ["a", None, "c", "d"]
    assert kept.evictions["size"] == 1


def test_one_large_entry_takes_the_place_of_several() -> None:
    """The bound is in bytes, not in entries."""
    kept = store(entries=3)
    for key in (b"a", b"b", b"c"):
        kept.put(key, "", 100)

    kept.put(b"d", "", 100 + 100 + OVERHEAD)

    assert len(kept) == 2
    assert kept.get(b"c") == ""


def test_an_entry_larger_than_the_store_is_not_taken() -> None:
    """It would empty the store for nothing."""
    kept = store(entries=1)
    kept.put(b"a", "1", 100)

    assert not kept.put(b"b", "2", 101)
    assert kept.get(b"a") == "1"
    assert kept.evictions["too_large"] == 1


def test_an_entry_ends_with_its_time() -> None:
    """At the instant itself it is over."""
    clock = Clock()
    kept = store(clock=clock)
    kept.put(b"a", "1", 100, ttl=10)

    clock.now += 9.75
    assert kept.get(b"a") == "1"
    clock.now += 0.25
    assert kept.get(b"a") is None
    assert (kept.bytes, kept.evictions["expired"]) == (0, 1)


def test_a_value_put_again_has_its_new_size_and_time() -> None:
    """One key has one entry."""
    clock = Clock()
    kept = store(clock=clock)
    kept.put(b"a", "1", 100, ttl=10)
    clock.now += 9
    kept.put(b"a", "2", 50, ttl=10)
    clock.now += 9

    assert kept.get(b"a") == "2"
    assert kept.bytes == 50 + OVERHEAD


def test_expired_entries_at_the_cold_end_are_swept() -> None:
    """Entries that nobody asks for any more must not hold their memory until it is needed."""
    clock = Clock()
    kept = store(entries=9, clock=clock)
    kept.put(b"a", "", 100, ttl=1)
    kept.put(b"b", "", 100, ttl=1)
    kept.put(b"c", "", 100, ttl=5)
    clock.now += 2

    kept.put(b"d", "", 100)

    assert len(kept) == 2
    assert kept.evictions == {"size": 0, "expired": 2, "too_large": 0}


def test_an_entry_that_grew_is_counted_with_its_new_size() -> None:
    """Others leave for it."""
    clock = Clock()
    kept = store(entries=3, clock=clock)
    for key in (b"a", b"b", b"c"):
        kept.put(key, "", 100)
    entry = kept.entry(b"c", clock())
    assert entry is not None

    kept.resize(b"c", entry, 200)

    assert (len(kept), kept.bytes) == (2, 300 + 2 * OVERHEAD)
    assert kept.get(b"a") is None


def test_an_entry_that_is_gone_does_not_grow() -> None:
    """A hit may outlive its entry."""
    clock = Clock()
    kept = store(clock=clock)
    kept.put(b"a", "1", 100)
    entry = kept.entry(b"a", clock())
    assert entry is not None
    kept.put(b"a", "2", 100)

    kept.resize(b"a", entry, 9_000)

    assert kept.bytes == 100 + OVERHEAD


def test_entries_can_be_dropped_and_cleared() -> None:
    """Their bytes go with them."""
    kept = store()
    for key in (b"a", b"b"):
        kept.put(key, "", 100)

    assert kept.drop(b"a")
    assert not kept.drop(b"a")
    assert kept.bytes == 100 + OVERHEAD
    kept.clear()
    assert (len(kept), kept.bytes) == (0, 0)


def test_bytes_are_reported_as_a_gauge() -> None:
    """An operator sees what the store holds, without what has expired."""
    clock, telemetry = Clock(), Telemetry()
    kept = store(clock=clock)
    kept.report(telemetry, layer="memory")
    kept.put(b"a", "", 100, ttl=1)
    cell = telemetry.cache_bytes.cell("memory")

    telemetry.take()
    assert cell.value == 100 + OVERHEAD
    clock.now += 1
    telemetry.take()
    assert cell.value == 0


def test_accounts_agree_after_any_use() -> None:
    """Ten thousand random calls: bytes are those of the entries, and never above the bound."""
    rng, clock = Random(5), Clock()
    kept: MemoryStore[int] = MemoryStore(max_bytes=5_000, clock=clock)
    for number in range(10_000):
        key = bytes([rng.randrange(20)])
        match rng.randrange(5):
            case 0 | 1:
                kept.put(key, number, rng.randrange(2_000), ttl=rng.choice([1.0, 5.0, 1e9]))
            case 2:
                kept.get(key)
            case 3:
                entry = kept.entry(key, clock())
                if entry is not None:
                    kept.resize(key, entry, rng.randrange(6_000))
            case _:
                kept.drop(key)
        clock.now += rng.random()
        assert kept.bytes == sum(entry.size for entry in kept._entries.values())
        assert kept.bytes <= kept.max_bytes
    assert min(kept.evictions["size"], kept.evictions["expired"], kept.hits, kept.misses) > 0


def test_state_is_readable() -> None:
    """What an operator sees in a log or a debugger."""
    kept = store(entries=1)
    kept.put(b"a", "", 100)

    assert repr(kept) == "<MemoryStore 1 entries, 400/400 bytes, 0 hits, 0 misses>"


@pytest.mark.parametrize("size", [0, 100])
def test_overhead_is_counted(size: int) -> None:
    """Empty values take memory too."""
    kept = store()
    kept.put(b"a", "", size)

    assert kept.bytes == size + OVERHEAD
