# SPDX-License-Identifier: Apache-2.0
"""The composition root: which stages there are, in which order, and why each sits where it does.

Read `exchange_stack` and `model_stack` from top to bottom: that is the order in which a request
meets the stages; its answer passes them from bottom to top.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigError
from gateway.stages.admission import Admission
from gateway.stages.balance import Balance
from gateway.stages.batch import Batch
from gateway.stages.cache import Cache
from gateway.stages.deadline import Deadline
from gateway.stages.hedge import Hedge
from gateway.stages.infer import Infer
from gateway.stages.observe import Observe
from gateway.stages.postprocess import Postprocess
from gateway.stages.preprocess import Preprocess
from gateway.stages.question_key import QuestionKey
from gateway.stages.rescue import Rescue
from gateway.stages.retry import Retry, RetryBudget
from gateway.steps import client_info, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.access_log import AccessLog
    from gateway.config import Config, ModelConfig
    from gateway.exchange import ExchangeService
    from gateway.stages.cost import Cost
    from gateway.stages.gate import Gate
    from gateway.stages.infer import Questions
    from gateway.stores.memory import MemoryStore
    from gateway.telemetry import Telemetry
    from gateway.upstream.pool import Pool
    from gateway.wire.message import Service
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Buffer


log = logging.getLogger(__name__)


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
            Observe,
            gate=gate,
            telemetry=telemetry,
            access_log=access_log,
            models=telemetry.models,
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
    cost: Cost | None = None,
) -> Service:
    """What every request for one model meets; *cost* is what is known of the model's runs.

    Nothing in it may hold on to *model*: that a reload has replaced it and that its last request
    is over is told by its end.
    """
    name, pool = model.name, model.pool

    def queue(inner: Service) -> Batch:
        model.batch = Batch(
            inner,
            model=name,
            pool=pool,
            telemetry=telemetry,
            max_rows=config.batch.max_rows,
            queue_rows=config.batch.queue_rows,
            queue_bytes=config.batch.queue_bytes,
            newest_first_after=config.batch.newest_first_after,
            cost=cost,
        )
        return model.batch

    layers: list[Callable[[Any], Any]] = []
    if (cache := config.cache) is not None:
        # Above Preprocess: a hit costs no processor time.
        layers.append(
            partial(
                Cache,
                store=store,
                model=name,
                digest=partial(told_apart, pool, digest(config.preprocess, config.postprocess)),
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
    if pool.keyed and not pool.header:
        # Above Batch: only what belongs to one place may leave together.
        layers.append(partial(QuestionKey, model=name))
    retry = config.retry
    budget = RetryBudget(
        share=retry.budget.percent / 100,
        min_per_second=retry.budget.min_per_second,
        ttl=retry.budget.ttl,
    )
    layers += [
        # Above Retry: a failed attempt sends the same batch again, and nobody queues twice.
        queue,
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
    """A configured model: its pool, its stack, and what clients see of it.

    It does not change: another configuration makes another one, and a request that has begun with
    this one ends with it.
    """

    def __init__(self, name: str, config: ModelConfig, pool: Pool) -> None:
        self.name = name
        self.config = config
        self.pool = pool
        self.batch: Batch
        self.questions: Questions | None = None
        # The header that requests are placed by, "" without one.
        self.placed_by = pool.header
        self.fault = ""
        self.service: Service
        self._preprocess = config.preprocess
        self._postprocess = config.postprocess
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

    def turn_away(self, body: Buffer) -> None:
        """See `Batch.turn_away`."""
        self.batch.turn_away(body)

    @property
    def ready(self) -> bool:
        """Whether a request would be answered."""
        return self.info is not None and self.pool.ready


def told_apart(pool: Pool, steps: bytes) -> bytes:
    """What a cache's keys must depend on besides the question: file, version and *steps*."""
    info = pool.info
    told = "" if info is None else f"{info.digest}\0{info.version}"
    return told.encode() + steps
