# SPDX-License-Identifier: Apache-2.0
"""A shared store without a network, for the stage that looks there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.stores.store import Kept

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from gateway.wire.message import InferResponse


class SharedMemory:
    """What several gateways share, on one clock; *asked* counts look-ups."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.available = True
        self.asked = 0
        self.values: dict[bytes, tuple[InferResponse, float, float, float]] = {}
        self.leases: dict[bytes, bytes] = {}
        # Whoever waits for another's answer is told by the test.
        self.waiting: list[asyncio.Future[None]] = []
        self.patience: list[float] = []
        self._clock = clock
        self._number = 0

    def __repr__(self) -> str:
        return f"<SharedMemory {len(self.values)}>"

    async def fetch(self, key: bytes) -> Kept[InferResponse] | None:
        """See `Store.fetch`."""
        (kept,) = await self.fetch_many([key])
        return kept

    async def fetch_many(self, keys: Sequence[bytes]) -> list[Kept[InferResponse] | None]:
        """See `Store.fetch_many`."""
        self.asked += 1
        return [self._kept(key) for key in keys]

    def _kept(self, key: bytes) -> Kept[InferResponse] | None:
        found = self.values.get(key)
        if found is None or found[2] <= self._clock():
            return None
        value, stored, ends, cost = found
        now = self._clock()
        return Kept(value, age=now - stored, ttl=ends - now, cost=cost)

    def put(
        self, key: bytes, value: InferResponse, size: int, *, ttl: float, cost: float = 0.0
    ) -> bool:
        """See `Shared.put`."""
        del size
        now = self._clock()
        self.values[key] = (value, now, now + ttl, cost)
        return True

    async def keep(
        self, key: bytes, value: InferResponse, *, size: int, ttl: float, cost: float = 0.0
    ) -> bool:
        """See `Store.keep`."""
        return self.put(key, value, size, ttl=ttl, cost=cost)

    async def lease(self, key: bytes, ttl: float) -> bytes | None:
        """See `Shared.lease`; a lease does not end by itself here."""
        assert ttl > 0
        if key in self.leases:
            return None
        self._number += 1
        self.leases[key] = b"%d" % self._number
        return self.leases[key]

    def release(self, key: bytes, token: bytes) -> None:
        """See `Shared.release`."""
        assert self.leases.pop(key) == token
        for future in self.waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, key: bytes, timeout: float) -> Kept[InferResponse] | None:
        """See `Shared.wait`: ends with the next lease that is given back, or when told to."""
        import asyncio  # noqa: PLC0415 - a look-up needs no loop, and some tests have none

        self.patience.append(timeout)
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        await future
        return self._kept(key)

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        self.values.clear()
