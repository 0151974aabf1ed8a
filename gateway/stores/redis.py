# SPDX-License-Identifier: Apache-2.0
"""RedisStore: answers in a Redis that gateways on any number of hosts share.

It is never needed: what cannot be had within the budget is not there, and behind an open breaker
nothing is waited for at all. Look-ups and writes have a way to Redis each (`channel`), so that
large values do not stand in front of small questions.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gateway.stores.frame import REASONS, Refused
from gateway.stores.generations import LONGEST_TTL, Generations
from gateway.stores.leases import Leases
from gateway.stores.reads import Reads
from gateway.stores.store import Kept
from gateway.stores.writes import OFF_LOOP, Write, Writes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.stores.breaker import State
    from gateway.stores.channel import Channel
    from gateway.stores.frame import FrameCodec
    from gateway.wire.message import InferResponse


class RedisStore:
    """A `Shared` store of responses; keys are of any length and stand in Redis behind *prefix*.

    *reads* and *writes* are the ways to Redis, *codec* makes its values. At most *queue_entries*
    writes of *queue_bytes* wait to be sent. Every *poll* seconds, from the first use on, other
    processes' purges are looked for; before the first answer nothing is found, as it may have been
    purged. *secret* keeps tenants' names in Redis from being guessed.

    *now* gives seconds since 1970, which other hosts must share; *clock* gives seconds for
    durations; *sleep* waits for some.
    """

    def __init__(
        self,
        *,
        reads: Channel,
        writes: Channel,
        codec: FrameCodec,
        prefix: str = "infergate",
        secret: bytes = b"",
        queue_entries: int = 4096,
        queue_bytes: int = 16 << 20,
        poll: float = 1.0,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._prefix = prefix.encode() + b":"
        self._lease_prefix = self._prefix + b"lease:"
        self._codec = codec
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._poll = poll
        self._polling: asyncio.Task[None] | None = None
        self._closed = False
        self.ways = {"read": reads, "write": writes}
        self._reads_way = reads
        self._reads = Reads(reads)
        self.writes = Writes(writes, self._encode, max_entries=queue_entries, max_bytes=queue_bytes)
        self._leases = Leases(writes, self._reads, clock=clock, sleep=sleep)
        self.generations = Generations(
            reads, writes, key=self._prefix + b"purges", now=now, secret=secret
        )
        # Values that were found and not used, by why.
        self.refused: dict[str, int] = dict.fromkeys(REASONS, 0)
        # Told how many seconds each look-up took.
        self.observe: Callable[[float], None] | None = None

    def __repr__(self) -> str:
        return f"<RedisStore {self.state} {self.generations!r} {self.writes!r}>"

    @property
    def state(self) -> State:
        """The breaker's, for look-ups."""
        return self._reads_way.breaker.state

    @property
    def available(self) -> bool:
        """Whether a look-up would ask Redis; asking sends the probe that is due."""
        if not self.generations.known:
            self._begin()
            return False
        return self._reads_way.usable()

    async def fetch(self, key: bytes) -> Kept[InferResponse] | None:
        """See `Store.fetch`."""
        stored = self._prefix + key
        pending = self.writes.pending(stored)
        if pending is not None:
            return self._own(pending)
        if not self.available:
            return None
        started = self._clock()
        (found,) = await self._reads.read((stored,))
        frame = None if found is None else found[0]
        kept = None if frame is None else await self._open(stored, frame)
        if self.observe is not None:
            self.observe(self._clock() - started)
        return kept

    async def fetch_many(self, keys: Sequence[bytes]) -> list[Kept[InferResponse] | None] | None:
        """See `Store.fetch_many`."""
        stored = [self._prefix + key for key in keys]
        result: list[Kept[InferResponse] | None] = [None] * len(stored)
        asked = []
        for place, key in enumerate(stored):
            pending = self.writes.pending(key)
            if pending is None:
                asked.append(place)
            else:
                result[place] = self._own(pending)
        if not asked or not self.available:
            return result
        started = self._clock()
        (found,) = await self._reads.read([stored[place] for place in asked])
        if found is not None:
            for place, frame in zip(asked, found, strict=True):
                if frame is not None:
                    result[place] = await self._open(stored[place], frame)
        if self.observe is not None:
            self.observe(self._clock() - started)
        return None if found is None else result

    def put(
        self, key: bytes, value: InferResponse, size: int, *, ttl: float, cost: float = 0.0
    ) -> bool:
        """Have *value* of *size* bytes written for *ttl* seconds; False where it is dropped.

        It is found from now on, and encoded later: what it consists of must not change.
        """
        if self._closed:
            return False
        self._begin()
        write = Write(value, size, self._now(), min(ttl, LONGEST_TTL), cost)
        return self.writes.put(self._prefix + key, write)

    async def keep(
        self, key: bytes, value: InferResponse, *, size: int, ttl: float, cost: float = 0.0
    ) -> bool:
        """See `Store.keep`; as `put`, without waiting."""
        return self.put(key, value, size, ttl=ttl, cost=cost)

    async def lease(self, key: bytes, ttl: float) -> bytes | None:
        """See `Shared.lease`."""
        if self._closed:
            return b""
        return await self._leases.take(self._lease_prefix + key, ttl)

    def release(self, key: bytes, token: bytes) -> None:
        """See `Shared.release`."""
        if token:
            self.writes.release(self._lease_prefix + key, token)

    async def wait(self, key: bytes, timeout: float) -> Kept[InferResponse] | None:
        """See `Shared.wait`."""
        if not self.available:
            return None
        stored = self._prefix + key
        frame = await self._leases.wait(stored, self._lease_prefix + key, timeout)
        return None if frame is None else await self._open(stored, frame)

    async def purge(self, model: str | None = None, tenant: str | None = None) -> bool:
        """See `Generations.purge`."""
        return await self.generations.purge(model, tenant)

    async def aclose(self) -> None:
        """See `Store.aclose`; what waits to be written is dropped."""
        self._closed = True
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
        await self.writes.aclose()
        for way in self.ways.values():
            await way.aclose()

    def _begin(self) -> None:
        if self._polling is None and not self._closed:
            self._polling = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            await self.generations.refresh()
            await self._sleep(self._poll)

    def _own(self, write: Write) -> Kept[InferResponse] | None:
        """What is not written yet, as if it were."""
        return self._kept(write.value, write.created, write.ttl, write.cost)

    async def _open(self, key: bytes, frame: bytes) -> Kept[InferResponse] | None:
        try:
            if len(frame) > OFF_LOOP:
                loop = asyncio.get_running_loop()
                opened = await loop.run_in_executor(None, self._codec.decode, key, frame)
            else:
                opened = self._codec.decode(key, frame)
        except Refused as refused:
            self.refused[refused.reason] += 1
            return None
        return self._kept(*opened)

    def _kept(
        self, value: InferResponse, created: float, ttl: float, cost: float
    ) -> Kept[InferResponse] | None:
        # Another host's clock may be ahead of ours.
        age = max(0.0, self._now() - created)
        return None if age >= ttl else Kept(value, age=age, ttl=ttl - age, cost=cost)

    def _encode(self, key: bytes, write: Write) -> bytes:
        return self._codec.encode(
            key, write.value, created=write.created, ttl=write.ttl, cost=write.cost
        )
