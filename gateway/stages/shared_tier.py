# SPDX-License-Identifier: Apache-2.0
"""SharedTier: the answers of one model in a store that other processes and hosts use too.

An answer that was asked for once is stored for a moment only, for those who wait for it elsewhere;
when it is asked for again it is stored for its time. So what is asked for once fills no store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from gateway.stores.store import Kept, Shared
    from gateway.wire.message import InferResponse

# Questions whose first sight is remembered, twice as many at most.
SIGHTS: Final = 1 << 15
# Seconds that an answer asked for once stays, at least: whoever waits for it looks every few ms.
MOMENT: Final = 2.0
# Of a second for "at once": the shortest time that a store takes.
_AT_ONCE: Final = 1e-3


class SecondSight:
    """Tells what has been seen before, for about as long as *capacity* other things are seen."""

    def __init__(self, capacity: int = SIGHTS) -> None:
        self._capacity = capacity
        self._now: set[int] = set()
        self._before: set[int] = set()

    def __repr__(self) -> str:
        return f"<SecondSight {len(self._now) + len(self._before)}/{2 * self._capacity}>"

    def seen(self, key: bytes) -> bool:
        """Whether *key* was seen before; from now on it was."""
        told = int.from_bytes(key[:8], "little")
        if told in self._now:
            return True
        before = told in self._before
        if len(self._now) >= self._capacity:
            self._before, self._now = self._now, set()
        self._now.add(told)
        return before


class SharedTier:
    """The answers of *model* in *store*, each *grace* seconds longer than it is fresh.

    *ttl* and *jitter* say how long that is. Answers above *max_entry_bytes* are not stored.
    """

    def __init__(
        self,
        store: Shared[InferResponse],
        *,
        model: str,
        ttl: float,
        jitter: float,
        grace: float,
        max_entry_bytes: int,
        rng: Random,
    ) -> None:
        self.store: Final = store
        self._prefix = model.encode() + b":"
        self._ttl = ttl
        self._jitter = jitter
        self._grace = grace
        self._max_entry_bytes = max_entry_bytes
        self._random = rng.random
        self._sights = SecondSight()

    def __repr__(self) -> str:
        return f"<SharedTier {self._prefix.decode()} {self._sights!r} {self.store!r}>"

    def key(self, key: bytes) -> bytes:
        """The store's key of the question with the digest *key*."""
        return self._prefix + key

    def left(self, kept: Kept[InferResponse]) -> float:
        """For how many seconds *kept* is fresh still."""
        return kept.ttl - self._grace

    async def fetch(self, keys: Sequence[bytes]) -> list[Kept[InferResponse] | None] | None:
        """What the store has for each of *keys*, None where it has not said in time."""
        return await self.store.fetch_many([self._prefix + key for key in keys])

    def first(self, key: bytes, response: InferResponse, *, cost: float) -> None:
        """Store what the model took *cost* seconds for: for a moment, or for its time."""
        if self._sights.seen(key):
            left = self._ttl * (1.0 - self._jitter * self._random())
            self.publish(key, response, left=left, cost=cost)
        elif (size := self._size(response)) is not None:
            # Never fresh for longer than it is stored.
            self.store.put(self._prefix + key, response, size, ttl=MOMENT + self._grace, cost=cost)

    def publish(self, key: bytes, response: InferResponse, *, left: float, cost: float) -> None:
        """Store an answer that is fresh for *left* seconds."""
        size = self._size(response)
        if size is not None and left > 0:
            self.store.put(self._prefix + key, response, size, ttl=left + self._grace, cost=cost)

    def drop(self, key: bytes, response: InferResponse) -> None:
        """Have nobody find what is stored; *response* takes its place for no time."""
        self.store.put(self._prefix + key, response, 0, ttl=_AT_ONCE, cost=0.0)

    def _size(self, response: InferResponse) -> int | None:
        size = sum([output.nbytes for output in response.outputs])
        return size if size <= self._max_entry_bytes else None
