# SPDX-License-Identifier: Apache-2.0
"""Caching: what the caches of all models have in common, and what a model is to its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config import ModelConfig
    from gateway.stages.cache_options import ModelCacheConfig
    from gateway.stages.shelf import Cached
    from gateway.stores.local_generations import Generations
    from gateway.stores.memory import MemoryStore
    from gateway.stores.store import Shared
    from gateway.upstream.pool import Pool
    from gateway.wire.message import InferResponse
    from gateway.wire.model import ModelInfo


class Caching:
    """What the caches of all models have in common.

    *memory* is this process's store. *shared* is one that other processes use too, if there is one.
    *secret* is that of `CacheKey`; *generations* count purges.
    """

    def __init__(
        self,
        memory: MemoryStore[Cached],
        *,
        secret: bytes,
        generations: Generations,
        shared: Shared[InferResponse] | None = None,
    ) -> None:
        self.memory = memory
        self.secret = secret
        self.generations = generations
        self.shared = shared

    def __repr__(self) -> str:
        return f"<Caching {self.memory!r} {self.shared!r} {self.generations!r}>"

    def scope(self, model: str, tenant: str) -> bytes:
        """What keeps apart what *tenant* has of *model*, and what was there before a purge."""
        number = self.generations.of(model, tenant)
        return b"%b\0%d" % (tenant.encode("utf-8", "surrogateescape"), number)

    def scope_of_all(self, model: str, _: str) -> bytes:
        """`scope` where all tenants share what there is."""
        return self.scope(model, "")


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
