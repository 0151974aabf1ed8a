# SPDX-License-Identifier: Apache-2.0
"""Caching: what the caches of all models have in common, and what a model is to its own."""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import TYPE_CHECKING

from gateway.errors import ConfigError
from gateway.stores.local_generations import LocalGenerations
from gateway.stores.memory import MemoryStore
from gateway.stores.options import MEMORY
from gateway.stores.secrets import shared_secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import ModelConfig
    from gateway.stages.cache_options import ModelCacheConfig
    from gateway.stages.shelf import Cached
    from gateway.stores.local_generations import Generations
    from gateway.stores.options import CacheConfig
    from gateway.stores.redis import RedisStore
    from gateway.telemetry import Telemetry
    from gateway.upstream.pool import Pool
    from gateway.wire.model import ModelInfo


class Caching:
    """What the caches of all models have in common.

    *memory* is this process's store. *shared* is one that other processes use too, None without
    one. *secret* is that of `CacheKey`; *generations* count purges.
    """

    def __init__(
        self,
        memory: MemoryStore[Cached],
        *,
        secret: bytes,
        generations: Generations,
        purge: Callable[[str | None, str | None], Awaitable[list[str]]],
        shared: RedisStore | None = None,
    ) -> None:
        self.memory = memory
        self.secret = secret
        self.generations = generations
        self.purge = purge
        self.shared = shared

    def __repr__(self) -> str:
        return f"<Caching {self.memory!r} {self.shared!r} {self.generations!r}>"

    async def aclose(self) -> None:
        """Give up the connections to the shared store."""
        if self.shared is not None:
            await self.shared.aclose()

    def scope(self, model: str, tenant: str) -> bytes:
        """What keeps apart what *tenant* has of *model*, and what was there before a purge."""
        number = self.generations.of(model, tenant)
        return b"%b\0%d" % (tenant.encode("utf-8", "surrogateescape"), number)

    def scope_of_all(self, model: str, _: str) -> bytes:
        """`scope` where all tenants share what there is."""
        return self.scope(model, "")


def make_caching(config: CacheConfig, *, telemetry: Telemetry) -> Caching:
    """The stores that *config* asks for; raises ConfigError for a secret that cannot be read."""
    memory: MemoryStore[Cached] = MemoryStore(max_bytes=config.max_bytes)
    memory.report(telemetry, layer="memory")
    if config.store == MEMORY:
        local = LocalGenerations()

        async def here(model: str | None, tenant: str | None) -> list[str]:
            local.purge(model, tenant)
            return []

        # A key of this life alone, as the entries are.
        return Caching(memory, secret=os.urandom(32), generations=local, purge=here)
    # Late: a deployment without a shared store needs none of its packages.
    from gateway.stores.opening import open_store  # noqa: PLC0415

    try:
        secret = shared_secret(config.redis.secret, "cache.redis.secret")
        store = open_store(config, telemetry=telemetry)
    except ValueError as error:
        raise ConfigError([str(error)]) from None

    async def everywhere(model: str | None, tenant: str | None) -> list[str]:
        if await store.purge(model, tenant):
            return []
        return ["Redis is out of reach: gateways elsewhere will follow when it is back"]

    key = blake2b(secret, digest_size=32, person=b"cache key").digest()
    return Caching(
        memory, secret=key, generations=store.generations, purge=everywhere, shared=store
    )


def told_apart(pool: Pool, steps: bytes) -> bytes:
    """What a cache's keys must depend on besides the question: file, version and *steps*."""
    info = pool.info
    told = "" if info is None else f"{info.digest}\0{info.version}"
    return told.encode() + steps


def execution(config: ModelConfig) -> bytes:
    """How workers are told to compute: another way may give other last bits."""
    ways = {
        (each.worker.optimization, each.worker.providers)
        for each in config.backends
        if each.worker is not None
    }
    return repr(sorted(ways)).encode()


def rows_apart(pool: Pool, *, declared: str) -> bool:
    """Whether each row of a batch may be looked up by itself now."""
    info = pool.info
    if info is None or not info.batched or declared == "never":
        return False
    return declared == "always" or info.coupling == ""


def refuse_coupled(info: ModelInfo) -> None:
    """Raise ConfigError if the rows of the model are none, or known to depend on each other."""
    why = info.coupling if info.batched else "it has no batch dimension"
    if why:
        raise ConfigError([
            f"model '{info.name}': cache.rows is always, but {why}; expected auto or never"
        ])  # fmt: skip


def obeyed(cache: ModelCacheConfig) -> frozenset[str] | None:
    """The tenants whose ``Cache-Control`` is obeyed, None for all."""
    who = cache.client_control
    if who == "all":
        return None
    return frozenset() if who == "none" else frozenset(who)
