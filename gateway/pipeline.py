# SPDX-License-Identifier: Apache-2.0
"""The composition root: which stages there are, in which order, and why each sits where it does.

Read `exchange_stack` and `model_stack` from top to bottom: that is the order in which a request
meets the stages; its answer passes them from bottom to top.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from gateway.caching import execution, obeyed, rows_apart, told_apart
from gateway.stages.admission import Admission
from gateway.stages.augment import Augment
from gateway.stages.balance import Balance
from gateway.stages.batch import Batch
from gateway.stages.cache import Cache
from gateway.stages.carry import Carry
from gateway.stages.deadline import Deadline
from gateway.stages.freshness import Freshness
from gateway.stages.hedge import Hedge
from gateway.stages.infer import Infer
from gateway.stages.observe import Observe
from gateway.stages.payoff import Payoff
from gateway.stages.postprocess import Postprocess
from gateway.stages.preprocess import Preprocess
from gateway.stages.quarantine import Quarantine
from gateway.stages.question_key import QuestionKey
from gateway.stages.rescue import Rescue
from gateway.stages.retry import Retry
from gateway.stages.retry_budget import RetryBudget
from gateway.stages.shared import Shared
from gateway.stages.shared_tier import SharedTier
from gateway.stages.split import Split
from gateway.steps import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.access_log import AccessLog
    from gateway.caching import Caching
    from gateway.config import Config, ModelConfig
    from gateway.exchange import ExchangeService
    from gateway.model import Model, Rollouts
    from gateway.profiler import Profiler
    from gateway.sampler import Sampler
    from gateway.stages.cache_options import ModelCacheConfig
    from gateway.stages.cost import Cost
    from gateway.stages.gate import Gate
    from gateway.stages.infer import Served
    from gateway.stages.offload import Offload
    from gateway.telemetry import Telemetry
    from gateway.wire.message import Service


def stack(*layers: Callable[[Any], Any], to: Any) -> Any:  # noqa: ANN401 - exchanges or requests
    """Wrap *to* in *layers*; the first layer sees a request first."""
    service = to
    for layer in reversed(layers):
        service = layer(service)
    return service


def exchange_stack(
    models: Mapping[str, Served],
    config: Config,
    *,
    gate: Gate,
    telemetry: Telemetry,
    access_log: AccessLog,
    probe_token: str = "",
) -> ExchangeService:
    """What every inference call meets, whatever its protocol and model.

    *probe_token* is what proves a quality probe, see `gateway.wire.probe`.
    """
    limits = config.server.limits
    service: ExchangeService = stack(
        # Above everything: what is shed or refused is measured too.
        partial(
            Observe,
            gate=gate,
            telemetry=telemetry,
            access_log=access_log,
            models=telemetry.models,
            probe_token=probe_token,
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
    caching: Caching,
    cost: Cost | None = None,
    quarantine: Quarantine | None = None,
    offload: Offload | None = None,
    rollouts: Rollouts | None = None,
    sampler: Sampler | None = None,
    profiler: Profiler | None = None,
) -> Service:
    """What every request for one model meets; *cost* is what is known of the model's runs.

    *quarantine* holds the questions that its workers have died of. *offload* is where the steps of
    all models run that take long. *rollouts* says who answers in the place of whom, *sampler* makes
    the stages of models that are sampled, *profiler* those that look at what models with a section
    ``drift`` are asked.

    Nothing in it may hold on to *model*: that a reload has replaced it and that its last request
    is over is told by its end.
    """
    name, pool = model.name, model.pool
    retry = config.retry
    # One for all that sends anything again.
    budget = RetryBudget(
        share=retry.budget.percent / 100,
        min_per_second=retry.budget.min_per_second,
        ttl=retry.budget.ttl,
    )
    quarantine = quarantine or Quarantine(model=name, telemetry=telemetry)
    quarantine.seconds = retry.quarantine

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
            budget=budget,
            quarantine=quarantine,
            cost=cost,
        )
        return model.batch

    cached: list[Callable[[Any], Any]] = []
    if (cache := config.cache) is not None:
        cached = cache_layers(model, config, cache, caching, telemetry)
    layers: list[Callable[[Any], Any]] = []
    if config.postprocess:
        # Above Preprocess: it changes which outputs are asked for, before anything depends on it.
        layers.append(
            partial(Postprocess, steps=config.postprocess, info=lambda: pool.info, offload=offload)
        )
    if config.preprocess:
        # Above Batch: only finished tensors have a shape to merge on.
        layers.append(
            partial(
                Preprocess,
                steps=config.preprocess,
                info=lambda: pool.info,
                offload=offload,
                batch_rows=config.batch.max_rows,
            )
        )
    if any(step.carries for step in config.postprocess):
        # Below Preprocess: it sees the model's own inputs. Above Batch: those of one request.
        layers.append(partial(Carry, steps=config.postprocess, info=lambda: pool.info))
    if pool.keyed and not pool.header:
        # Above Batch: only what belongs to one place may leave together.
        layers.append(partial(QuestionKey, model=name))
    if config.augment is not None and model.ensemble is not None:
        # Below Preprocess: views are made of finished tensors. Below QuestionKey: they go where
        # the row goes. Above Batch: the views of a row are rows of one batch.
        layers.append(
            partial(
                Augment,
                model=name,
                ensemble=model.ensemble,
                info=lambda: pool.info,
                telemetry=telemetry,
                below=config.augment.below,
                max_bytes=config.augment.max_bytes,
                offload=offload,
            )
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
    model.uncached = stack(*layers, to=Balance(pool))
    model.core = stack(*cached, to=model.uncached)
    above = layers_above_cache(
        model, config, telemetry=telemetry, rollouts=rollouts, sampler=sampler, profiler=profiler
    )
    if above:
        # They are to see each request; only below them is a repeat all that there is to an answer.
        model.repeats = None
    service: Service = stack(*above, to=model.core)
    return service


def layers_above_cache(
    model: Model,
    config: ModelConfig,
    *,
    telemetry: Telemetry,
    rollouts: Rollouts | None,
    sampler: Sampler | None,
    profiler: Profiler | None,
) -> list[Callable[[Any], Any]]:
    """The stages that see every request for *model*, whatever answers it."""
    name = model.name
    above: list[Callable[[Any], Any]] = []
    if sampler is not None and model.slices is not None:
        # Above Cache: otherwise figures and shadows would know of misses alone. Above Split: who
        # is sampled is chosen before it is chosen who answers.
        above.append(
            partial(
                sampler.stage, name=name, config=config, reader=model.reader, slices=model.slices
            )
        )
    if config.drift is not None and profiler is not None:
        # Above Cache: drift is in what is asked, and hits are asked too. Above Split: whoever
        # answers, the question was asked of this model.
        above.append(
            partial(profiler.stage, model=name, rows_per_second=config.drift.rows_per_second)
        )
    if config.candidate is not None and rollouts is not None:
        # Above Cache: each of the two models has its own, and neither answers from the other's.
        above.append(
            partial(
                Split,
                model=name,
                models=rollouts.models,
                rollouts=rollouts.by_model,
                selection=rollouts.selection,
                telemetry=telemetry,
            )
        )
    return above


def cache_layers(
    model: Model,
    config: ModelConfig,
    cache: ModelCacheConfig,
    caching: Caching,
    telemetry: Telemetry,
) -> list[Callable[[Any], Any]]:
    """The stages of a cached model above all others, the cache of this process first."""
    name, pool = model.name, model.pool
    freshness = Freshness(
        revalidate=cache.stale_while_revalidate,
        if_error=cache.stale_if_error,
        ready=lambda: pool.ready,
    )
    scope = caching.scope if cache.scope == "tenant" else caching.scope_of_all
    steps = digest(config.preprocess, config.postprocess, model.ensemble) + execution(config)
    model.payoff = Payoff(always=not cache.adaptive)
    tier = None
    if caching.shared is not None:
        tier = SharedTier(
            caching.shared,
            model=name,
            ttl=cache.ttl,
            jitter=cache.jitter,
            grace=freshness.grace,
            max_entry_bytes=cache.max_entry_bytes,
            rng=Random(),
        )

    def cached(inner: Service) -> Cache:
        stage = Cache(
            inner,
            store=caching.memory,
            model=name,
            digest=partial(told_apart, pool, steps),
            scope=partial(scope, name),
            rowwise=partial(rows_apart, pool, declared=cache.rows),
            secret=caching.secret,
            ttl=cache.ttl,
            jitter=cache.jitter,
            lock_timeout=cache.lock_timeout,
            max_entry_bytes=cache.max_entry_bytes,
            freshness=freshness,
            verify=cache.verify,
            obeys=obeyed(cache),
            payoff=model.payoff,
            shared=tier,
            telemetry=telemetry,
        )
        model.repeats = stage.repeat
        return stage

    # Above Preprocess: a hit costs no processor time.
    layers: list[Callable[[Any], Any]] = [cached]
    if tier is not None:
        # Below Cache: what is here costs no look elsewhere, and of equal questions one looks.
        layers.append(
            partial(
                Shared,
                model=name,
                tier=tier,
                freshness=freshness,
                lock_timeout=cache.lock_timeout,
                payoff=Payoff(always=not cache.adaptive),
                telemetry=telemetry,
            )
        )
    return layers
