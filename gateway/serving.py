# SPDX-License-Identifier: Apache-2.0
"""Serving: the models that one gateway process serves now, and those of before until they end.

A reload replaces what changed and leaves the rest as it is. A request keeps the model that it has
begun with, so a model that was replaced is over when nothing refers to it any more; its end tells
so, and no request has to be counted for that.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from gateway.caching import make_caching
from gateway.errors import ConfigError
from gateway.model import Model, Rollouts
from gateway.pipeline import exchange_stack, model_stack
from gateway.pools import Name, followed, make_endpoint, make_pool, names, spots
from gateway.profiler import make_profiler
from gateway.sampler import make_sampler, mirrored, sampling_key
from gateway.stages.gate import Gate
from gateway.stages.offload import Offload, cores
from gateway.stages.preview import Previews
from gateway.stages.questions import Questions
from gateway.stages.split import misfits
from gateway.stores.memory import MemoryStore
from gateway.upstream.discovery import look_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gateway.access_log import AccessLog
    from gateway.config import BackendConfig, Config, ModelConfig
    from gateway.stages.batch import Batch
    from gateway.telemetry import Telemetry
    from gateway.upstream.discovery import Resolver
    from gateway.upstream.options import HealthConfig
    from gateway.upstream.outstanding import Outstanding
    from gateway.upstream.pool import Pool
    from gateway.wire.generation import Generation, Setting
    from gateway.wire.message import InferRequest

# Decoded questions for the raw-body shortcut, in bytes and for each cached model.
_QUESTIONS = 32 << 20
# Inputs that may wait for a thread: many, as pictures are small while they are encoded.
_WAITING_STEPS = 128


class Gateway:
    """All that one gateway process serves, first what *config* and *generation* say.

    *runtime* is the directory where the supervisor's workers listen. *outstanding* is where
    several gateway processes count together. *resolver* finds the addresses of names.
    *probe_token* proves that a request is a quality probe.
    """

    def __init__(
        self,
        config: Config,
        generation: Generation,
        *,
        runtime: Path,
        telemetry: Telemetry,
        access_log: AccessLog,
        outstanding: Outstanding | None = None,
        resolver: Resolver = look_up,
        probe_token: str = "",
    ) -> None:
        self._resolver = resolver
        self.gate = Gate()
        self.config = config
        self.generation = generation
        self.runtime = runtime
        self.telemetry = telemetry
        self.outstanding = outstanding
        # One object for the whole life, which stages and servers hold: its content is replaced.
        self.models: dict[str, Model] = {}
        self._rollouts = Rollouts(self.models, partial(sampling_key, config, runtime))
        self._rollouts.take(generation)
        self.sampler = make_sampler(config, self.models, runtime, self.gate, telemetry)
        self.profiler = make_profiler(runtime, telemetry)
        # A key of this life alone: what another process makes of a body cannot be told from it.
        self._secret = os.urandom(32)
        self._caching = make_caching(config.cache, telemetry=telemetry)
        self._caching.generations.subscribe(self._purged)
        # Threads for the steps of all models, which share the cores with the other processes.
        self._offload = Offload(
            threads=max(1, cores() // config.server.processes), backlog=_WAITING_STEPS
        )
        self._begin: Callable[[Pool, HealthConfig], None] | None = None
        self._pools: dict[Pool, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Event] = set()
        for name, plain in config.models.items():
            section = mirrored(plain, generation.shadows.get(name, {}))
            pool = make_pool(name, section, telemetry=telemetry, outstanding=outstanding)
            for spot in spots(name, section, generation, runtime):
                drained = generation.setting(spot.name).drained
                pool.add([make_endpoint(spot, section, pool)], held=drained)
            for backend in names(section):
                pool.follow(self.make_name(backend, section, pool))
            self.models[name] = self.make_model(name, section, pool)
        self.set_weights(self.models, config, generation)
        self.service = exchange_stack(
            self.models, config, gate=self.gate, telemetry=telemetry, access_log=access_log,
            probe_token=probe_token,
        )  # fmt: skip
        # The same stages around previews: what is refused there is refused here.
        self.preview = exchange_stack(
            Previews(self.models), config, gate=self.gate, telemetry=telemetry,
            access_log=access_log,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Gateway {self.generation.number} {list(self.models.values())} {self.gate!r}>"

    @property
    def takes_labels(self) -> bool:
        """Whether any model keeps predictions, so that labels find something."""
        sections = self.config.models.values()
        return any(each.quality is not None or bool(each.shadow) for each in sections)

    def make_model(
        self, name: str, section: ModelConfig, pool: Pool, *, before: Batch | None = None
    ) -> Model:
        """The model *name* over *pool*, with a stack of its own.

        *before* is the queue of the same model file until now: what it knows stays known.
        """
        model = Model(name, section, pool)
        if section.cache is not None:
            memory: MemoryStore[InferRequest] = MemoryStore(max_bytes=_QUESTIONS)
            model.shortcut = Questions(memory, secret=self._secret)
        model.service = model_stack(
            model,
            section,
            telemetry=self.telemetry,
            caching=self._caching,
            cost=None if before is None else before.cost,
            quarantine=None if before is None else before.quarantine,
            rollouts=self._rollouts,
            sampler=self.sampler,
            profiler=self.profiler,
            offload=self._offload.counting(self.telemetry.shed.cell(name, "steps_busy")),
        )
        return model

    async def purge(self, model: str | None, tenant: str | None) -> list[str]:
        """Give no more what *model* or *tenant* has in the cache; without either, all.

        Gives what stands in the way.
        """
        return await self._caching.purge(model, tenant)

    def _purged(self) -> None:
        """Decoded requests have keys of before the purge."""
        for model in self.models.values():
            if model.shortcut is not None:
                model.shortcut.forget()

    def make_name(
        self, backend: BackendConfig, section: ModelConfig, pool: Pool, *, waiting: bool = False
    ) -> Name:
        """The name in *backend*, which *pool* does not follow yet."""
        return Name(
            backend, section, pool, settings=self._setting, resolver=self._resolver, waiting=waiting
        )

    def _setting(self, endpoint: str) -> Setting:
        return self.generation.setting(endpoint)

    async def run(self) -> None:
        """Keep all pools connected and probed until cancelled."""
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            stack.push_async_callback(self._caching.aclose)

            def begin(pool: Pool, health: HealthConfig) -> None:
                self._pools[pool] = group.create_task(
                    pool.run(interval=health.interval, timeout=health.timeout, jitter=health.jitter)
                )

            self._begin = begin
            for pool, health in [(each.pool, each.config.health) for each in self.models.values()]:
                begin(pool, health)
            group.create_task(self.sampler.handover.run())
            group.create_task(self.profiler.run())
            # Pools may come at any time, so the group must not end with the last one.
            await asyncio.get_running_loop().create_future()

    def open(self, pool: Pool, section: ModelConfig) -> None:
        """Connect *pool*, now or when `run` begins."""
        if self._begin is not None:
            self._begin(pool, section.health)

    def close(self, pool: Pool) -> None:
        """Give the connections of *pool* up; nothing may be pending there."""
        task = self._pools.pop(pool, None)
        if task is not None:
            task.cancel()

    async def came_up(self) -> None:
        """Wait until every model is ready; raises ConfigError where its steps do not fit it."""
        changed = asyncio.Event()
        ends = [model.pool.on_change(changed.set) for model in self.models.values()]
        try:
            while not all(model.ready for model in self.models.values()):
                faults = [model.fault for model in self.models.values() if model.fault]
                if faults:
                    raise ConfigError(faults)
                await changed.wait()
                changed.clear()
            if faults := misfits(self.models, candidates(self.config)):
                raise ConfigError(faults)
        finally:
            for end in ends:
                end()

    def set_weights(self, models: dict[str, Model], config: Config, generation: Generation) -> None:
        """Give every endpoint of *models* the weight that *config* or an operator says.

        And the verdict of quality probes.
        """
        for name, model in models.items():
            wanted = {
                spot.name: spot.weight
                for spot in spots(name, config.models[name], generation, self.runtime)
            }
            for each in followed(model.pool):
                wanted |= {endpoint.name: each.backend.weight for endpoint in each.endpoints}
            for endpoint in (*model.pool.endpoints, *model.pool.held):
                said = generation.setting(endpoint.name).weight
                endpoint.weight = wanted[endpoint.name] if said is None else said
                endpoint.found(wrong=generation.setting(endpoint.name).wrong)

    def replace(self, models: dict[str, Model], config: Config, generation: Generation) -> None:
        """Serve *models* from now on; those that are no longer among them end by themselves."""
        gone = [
            self.models[name] for name in self.models if models.get(name) is not self.models[name]
        ]
        kept = {id(model.pool) for model in models.values()}
        # In one turn of the loop: no request can see half of it.
        self.models.clear()
        self.models.update(models)
        self.config, self.generation = config, generation
        self._rollouts.take(generation)
        self.telemetry.models |= set(models)
        while gone:
            old = gone.pop()
            self._end(old, old.batch, None if id(old.pool) in kept else old.pool)
            del old

    def _end(self, old: Model, batch: Batch, pool: Pool | None) -> None:
        """Take *old* apart when its last request is over: *batch*, and *pool* if it goes too."""
        loop = asyncio.get_running_loop()
        self._ending.add(gone := asyncio.Event())
        over = False

        def ended() -> None:
            nonlocal over
            if over:
                return
            over = True
            timer.cancel()
            batch.retire()
            if pool is None:
                self._let_go(gone)
            else:
                tasks.append(loop.create_task(self._close(pool, gone)))

        def unreferenced() -> None:
            # Where the loop has ended there is nothing left to do.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(ended)

        tasks: list[asyncio.Task[None]] = []
        # Every request has a deadline, so that no reference can be the last one for ever.
        timer = loop.call_later(self.config.server.timeout + 1.0, ended)
        weakref.finalize(old, unreferenced).atexit = False

    async def _close(self, pool: Pool, gone: asyncio.Event) -> None:
        for name in pool.followed:
            pool.unfollow(name)
        for endpoint in (*pool.endpoints, *pool.held):
            pool.remove(endpoint)
        await pool.emptied()
        self.close(pool)
        self._let_go(gone)

    def _let_go(self, gone: asyncio.Event) -> None:
        self._ending.discard(gone)
        gone.set()

    async def settled(self) -> None:
        """Wait until nothing is left of what has been replaced until now."""
        awaited = [
            *self._ending,
            *(gone for pool in self.pools() for gone in pool.leaving.values()),
        ]
        for gone in awaited:
            await gone.wait()

    def pools(self) -> Iterable[Pool]:
        """All pools in use; holding one of them holds no model."""
        return [model.pool for model in self.models.values()]

    @property
    def ending(self) -> int:
        """How many models of before have requests still."""
        return len(self._ending)


def candidates(config: Config) -> dict[str, str]:
    """The candidate of each model that has one."""
    return {
        name: section.candidate.model
        for name, section in config.models.items()
        if section.candidate is not None
    }
