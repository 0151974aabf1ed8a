# SPDX-License-Identifier: Apache-2.0
"""MemoryStore: the least recently used goes first, bounded in bytes, overhead included."""

from __future__ import annotations

from collections import OrderedDict
from time import perf_counter
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from gateway.stores.store import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.telemetry import Telemetry

V = TypeVar("V")

NEVER: Final = float("inf")
# What an entry takes besides its value: key, hash table, links, record. Measured with tracemalloc.
OVERHEAD: Final = 300


class Entry(msgspec.Struct, Generic[V], eq=False, gc=False):
    """A stored value; *stored* and *expires* are instants of the store's clock, *cost* is seconds.

    There may be a million of them: the cycle collector need not look at what leads nowhere back.
    """

    value: V
    size: int
    stored: float
    expires: float
    cost: float = 0.0


class MemoryStore(Generic[V]):
    """Values in this process, at most *max_bytes* of them; callers say what a value weighs.

    Reading and writing need no waiting (`entry`, `get`, `put`); as a `Store` it offers both to
    callers that would wait. *clock* gives seconds and never goes back.
    """

    def __init__(self, *, max_bytes: int, clock: Callable[[], float] = perf_counter) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        # Entries that ended, by why; "too_large" were never taken.
        self.evictions = {"size": 0, "expired": 0, "too_large": 0}
        self._clock = clock
        self._entries: OrderedDict[bytes, Entry[V]] = OrderedDict()
        self._closed = False

    def __repr__(self) -> str:
        return (
            f"<MemoryStore {len(self._entries)} entries, {self.bytes}/{self.max_bytes} bytes, "
            f"{self.hits} hits, {self.misses} misses>"
        )

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, key: bytes, now: float) -> Entry[V] | None:
        """The entry under *key* at the instant *now*, which becomes the most recently used."""
        entry = self._entries.get(key)
        if entry is None:
            self.misses += 1
            return None
        if entry.expires <= now:
            self._evict(key, "expired")
            self.misses += 1
            return None
        self._entries.move_to_end(key)
        self.hits += 1
        return entry

    def get(self, key: bytes) -> V | None:
        """The value under *key*, which becomes the most recently used."""
        entry = self.entry(key, self._clock())
        return None if entry is None else entry.value

    def put(
        self, key: bytes, value: V, size: int, *, ttl: float = NEVER, cost: float = 0.0
    ) -> bool:
        """Keep *value*, of *size* bytes, for *ttl* seconds, in place of what *key* had.

        *cost* is how many seconds it took to make.

        False where it alone is larger than the store, or the store is closed.
        """
        weight = size + OVERHEAD
        if weight > self.max_bytes or self._closed:
            self.evictions["too_large"] += not self._closed
            return False
        earlier = self._entries.pop(key, None)
        if earlier is not None:
            self.bytes -= earlier.size
        now = self._clock()
        self.sweep(now)
        self.bytes += weight
        self._make_room()
        self._entries[key] = Entry(value, weight, now, now + ttl, cost)
        return True

    def resize(self, key: bytes, entry: Entry[V], size: int) -> None:
        """Count *entry*, still under *key* or not, with *size* bytes from now on."""
        if self._entries.get(key) is not entry:
            return
        weight = size + OVERHEAD
        self.bytes += weight - entry.size
        entry.size = weight
        self._make_room()

    def drop(self, key: bytes) -> bool:
        """Forget what is under *key*; False if there was nothing."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self.bytes -= entry.size
        return True

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.bytes = 0

    def sweep(self, now: float | None = None) -> None:
        """Evict what has expired at the cold end, where entries that nobody asks for gather."""
        now = self._clock() if now is None else now
        while self._entries:
            key = next(iter(self._entries))
            if self._entries[key].expires > now:
                return
            self._evict(key, "expired")

    def report(self, telemetry: Telemetry, *, layer: str) -> None:
        """Have *telemetry* show this store's bytes and evictions as those of *layer*."""
        cell = telemetry.cache_bytes.cell(layer)
        evicted = {why: telemetry.cache_evictions.cell(layer, why) for why in self.evictions}
        told = dict.fromkeys(self.evictions, 0)

        def collect() -> None:
            self.sweep()
            cell.value = self.bytes
            for why, count in self.evictions.items():
                evicted[why].value += count - told[why]
                told[why] = count

        telemetry.on_collect(collect)

    async def fetch(self, key: bytes) -> Kept[V] | None:
        """See `Store.fetch`."""
        return self._kept(key, self._clock())

    async def fetch_many(self, keys: Sequence[bytes]) -> list[Kept[V] | None]:
        """See `Store.fetch_many`."""
        now = self._clock()
        return [self._kept(key, now) for key in keys]

    async def keep(self, key: bytes, value: V, *, size: int, ttl: float, cost: float = 0.0) -> bool:
        """See `Store.keep`."""
        return self.put(key, value, size, ttl=ttl, cost=cost)

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        self._closed = True
        self.clear()

    def _kept(self, key: bytes, now: float) -> Kept[V] | None:
        entry = self.entry(key, now)
        if entry is None:
            return None
        return Kept(entry.value, age=now - entry.stored, ttl=entry.expires - now, cost=entry.cost)

    def _make_room(self) -> None:
        while self.bytes > self.max_bytes and self._entries:
            self._evict(next(iter(self._entries)), "size")

    def _evict(self, key: bytes, reason: str) -> None:
        self.bytes -= self._entries.pop(key).size
        self.evictions[reason] += 1
