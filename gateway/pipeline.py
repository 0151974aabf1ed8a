# SPDX-License-Identifier: Apache-2.0
"""The composition root: which stages there are, in which order, and why each sits where it does.

Read `exchange_stack` and `model_stack` from top to bottom: that is the order in which a request
meets the stages; its answer passes them from bottom to top.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigError
from gateway.stages.admission import Admission
from gateway.stages.balance import Balance
from gateway.stages.batch import Batch
from gateway.stages.cache import Cache
from gateway.stages.deadline import Deadline
from gateway.stages.gate import Gate
from gateway.stages.hedge import Hedge
from gateway.stages.infer import Infer, Questions
from gateway.stages.observe import Observe
from gateway.stages.postprocess import Postprocess
from gateway.stages.preprocess import Preprocess
from gateway.stages.rescue import Rescue
from gateway.stages.retry import Retry, RetryBudget
from gateway.steps import client_info, digest
from gateway.stores.memory import MemoryStore
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Ejection, Liveness
from gateway.upstream.link import Link
from gateway.upstream.policy import POLICIES
from gateway.upstream.pool import Pool
from gateway.wire.runtime import worker_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gateway.access_log import AccessLog
    from gateway.config import Config, ModelConfig
    from gateway.exchange import ExchangeService
    from gateway.telemetry import Telemetry
    from gateway.wire.message import InferRequest, Service
    from gateway.wire.model import ModelInfo


def stack(*layers: Callable[[Any], Any], to: Any) -> Any:  # noqa: ANN401 - exchanges or requests
    """Wrap *to* in *layers*; the first layer sees a request first."""
    service = to
    for layer in reversed(layers):
        service = layer(service)
    return service


def exchange_stack(
    models: Mapping[str, Model],
    config: Config,
    *,
    gate: Gate,
    telemetry: Telemetry,
    access_log: AccessLog,
) -> ExchangeService:
    """What every inference call meets, whatever its protocol and model."""
    limits = config.server.limits
    service: ExchangeService = stack(
        # Above everything: what is shed or refused is measured too.
        partial(
            Observe, gate=gate, telemetry=telemetry, access_log=access_log, models=list(models)
        ),
        # Below Observe, above all that raises: the one place where an error becomes an answer.
        Rescue,
        # Above everything that waits: queue, attempts and transport spend one budget.
        partial(Deadline, total=config.server.timeout),
        # Before the body is decoded: shedding must stay cheap.
        partial(Admission, gate=gate, telemetry=telemetry, max_body=limits.body),
        to=Infer(models, tenant_header=config.server.tenant_header or ""),
    )
    return service


def model_stack(
    model: Model,
    config: ModelConfig,
    *,
    telemetry: Telemetry,
    store: MemoryStore[Any],
    secret: bytes,
) -> Service:
    """What every request for one model meets."""
    name, pool = model.name, model.pool
    layers: list[Callable[[Any], Any]] = []
    if (cache := config.cache) is not None:
        # Above Preprocess: a hit costs no processor time.
        layers.append(
            partial(
                Cache,
                store=store,
                model=name,
                digest=model.digest,
                secret=secret,
                ttl=cache.ttl,
                jitter=cache.jitter,
                lock_timeout=cache.lock_timeout,
                max_entry_bytes=cache.max_entry_bytes,
                telemetry=telemetry,
            )
        )
    if config.postprocess:
        # Above Preprocess: it changes which outputs are asked for, before anything depends on it.
        layers.append(partial(Postprocess, steps=config.postprocess, info=lambda: pool.info))
    if config.preprocess:
        # Above Batch: only finished tensors have a shape to merge on.
        layers.append(partial(Preprocess, steps=config.preprocess, info=lambda: pool.info))
    batch, retry = config.batch, config.retry
    budget = RetryBudget(
        share=retry.budget.percent / 100,
        min_per_second=retry.budget.min_per_second,
        ttl=retry.budget.ttl,
    )
    layers += [
        # Above Retry: a failed attempt sends the same batch again, and nobody queues twice.
        partial(
            Batch,
            model=name,
            pool=pool,
            telemetry=telemetry,
            max_rows=batch.max_rows,
            queue_rows=batch.queue_rows,
            queue_bytes=batch.queue_bytes,
            newest_first_after=batch.newest_first_after,
        ),
        # Above Balance: every attempt picks afresh, never the endpoint that has just failed.
        partial(
            Retry,
            model=name,
            telemetry=telemetry,
            attempts=retry.attempts,
            budget=budget,
            base=retry.backoff.base,
            most=retry.backoff.max,
        ),
    ]
    if (hedge := config.hedge) is not None:
        # Below Retry: both attempts are one to it. Above Balance: each picks an endpoint.
        layers.append(
            partial(
                Hedge,
                model=name,
                pool=pool,
                telemetry=telemetry,
                budget=budget,
                percentile=hedge.percentile,
                min_delay=hedge.min_delay,
                max_extra_load=hedge.max_extra_load,
            )
        )
    service: Service = stack(*layers, to=Balance(pool))
    return service


class Model:
    """A configured model: its pool, its stack, and what clients see of it."""

    def __init__(self, name: str, config: ModelConfig, pool: Pool) -> None:
        self.name = name
        self.pool = pool
        self.questions: Questions | None = None
        self.fault = ""
        self.service: Service
        self._preprocess = config.preprocess
        self._postprocess = config.postprocess
        self._steps_digest = digest(config.preprocess, config.postprocess)
        self._seen: ModelInfo | None = None
        self._info: ModelInfo | None = None

    def __repr__(self) -> str:
        return f"<Model {self.name} {'ready' if self.ready else 'not ready'} {self.pool!r}>"

    @property
    def info(self) -> ModelInfo | None:
        """The worker's model with the steps around it; None while no worker has said hello.

        A model that the steps do not fit stays None, and *fault* says why.
        """
        seen = self.pool.info
        if seen is not self._seen:
            self._seen = seen
            self.fault = ""
            try:
                self._info = seen and client_info(seen, self._preprocess, self._postprocess)
            except ConfigError as error:
                self._info, self.fault = None, str(error)
        return self._info

    @property
    def ready(self) -> bool:
        """Whether a request would be answered."""
        return self.info is not None and self.pool.ready

    def digest(self) -> bytes:
        """What the cache's keys must depend on besides the question: file, version and steps."""
        info = self.info
        told = "" if info is None else f"{info.digest}\0{info.version}"
        return told.encode() + self._steps_digest


class Gateway:
    """All that one gateway process serves, built from *config*.

    *runtime* is the directory where the supervisor's workers listen.
    """

    def __init__(
        self, config: Config, *, runtime: Path, telemetry: Telemetry, access_log: AccessLog
    ) -> None:
        self.gate = Gate()
        store: MemoryStore[Any] = MemoryStore(max_bytes=config.cache.max_bytes)
        # A key of this life alone: what another process makes of a body cannot be told from it.
        secret = os.urandom(32)
        self.models: dict[str, Model] = {}
        for name, section in config.models.items():
            pool = _pool(name, section, runtime=runtime, telemetry=telemetry)
            model = Model(name, section, pool)
            if section.cache is not None:
                memory: MemoryStore[InferRequest] = MemoryStore(max_bytes=_QUESTIONS)
                model.questions = Questions(memory, secret=secret)
            model.service = model_stack(
                model, section, telemetry=telemetry, store=store, secret=secret
            )
            self.models[name] = model
        self.service = exchange_stack(
            self.models, config, gate=self.gate, telemetry=telemetry, access_log=access_log
        )
        self.draining = False
        self._config = config
        store.report(telemetry, layer="memory")

    def __repr__(self) -> str:
        return f"<Gateway {list(self.models.values())} {self.gate!r}>"

    async def run(self) -> None:
        """Keep all pools connected and probed until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, model in self.models.items():
                health = self._config.models[name].health
                group.create_task(
                    model.pool.run(
                        interval=health.interval, timeout=health.timeout, jitter=health.jitter
                    )
                )

    async def came_up(self) -> None:
        """Wait until every model is ready; raises ConfigError where its steps do not fit it."""
        changed = asyncio.Event()
        for model in self.models.values():
            model.pool.on_change(changed.set)
        while not all(model.ready for model in self.models.values()):
            faults = [model.fault for model in self.models.values() if model.fault]
            if faults:
                raise ConfigError(faults)
            await changed.wait()
            changed.clear()


# Decoded questions for the raw-body shortcut, in bytes and for each cached model.
_QUESTIONS = 32 << 20


def _pool(name: str, config: ModelConfig, *, runtime: Path, telemetry: Telemetry) -> Pool:
    """The endpoints of a model: its own workers in the supervisor's order, and those elsewhere."""
    ejection, health = config.ejection, config.health
    pool = Pool(
        name,
        policy=POLICIES[config.policy](),
        telemetry=telemetry,
        max_ejected=ejection.max_ejected,
    )
    replica = 0
    for backend in config.backends:
        addresses: list[tuple[str, str]] = []
        if backend.worker is not None:
            for _ in range(backend.worker.replicas):
                path = worker_socket(runtime, name, replica)
                addresses.append((f"{name}-{replica}", f"unix:{path}"))
                replica += 1
        elif backend.address is not None:
            addresses.append((backend.address, backend.address))
        cap = None if backend.max_concurrency == "auto" else backend.max_concurrency
        pool.add(
            Endpoint(
                endpoint,
                partial(Link, address, connect_timeout=config.timeouts.connect),
                pool,
                ejection=Ejection(
                    clock=perf_counter,
                    consecutive=ejection.consecutive,
                    error_rate=ejection.error_rate,
                    min_volume=ejection.min_volume,
                    window=ejection.window,
                    base=ejection.base,
                    most=ejection.max,
                    jitter=ejection.jitter,
                ),
                liveness=Liveness(rise=health.rise, fall=health.fall),
                weight=backend.weight,
                cap=cap,
                attempt_timeout=config.timeouts.attempt,
            )
            for endpoint, address in addresses
        )
    return pool
