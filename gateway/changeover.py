# SPDX-License-Identifier: Apache-2.0
"""Changeover: from the generation that a gateway process serves to another, in two steps.

`prepare` connects what is new beside what serves, and checks it; traffic stays where it is.
`commit` is one turn of the event loop: before it every request meets the old models, behind it the
new ones. What did not change keeps its connections, health and estimates.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.errors import ConfigError
from gateway.pools import followed, is_same_name, make_endpoint, make_pool, names, spots
from gateway.sampler import mirrored
from gateway.serving import candidates
from gateway.stages.split import misfits

if TYPE_CHECKING:
    from gateway.config import BackendConfig, Config, ModelConfig
    from gateway.model import Model
    from gateway.pools import Name, Spot
    from gateway.serving import Gateway
    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.pool import Pool
    from gateway.wire.generation import Generation

# The supervisor has seen its workers ready, so what is left is to connect.
PATIENCE: Final = 10.0


class Changeover:
    """One way from what *gateway* serves to *generation* with its *config*."""

    def __init__(self, gateway: Gateway, config: Config, generation: Generation) -> None:
        self.generation = generation
        self._gateway = gateway
        self._config = config
        self._models: dict[str, Model] = {}
        self._fresh: list[Pool] = []
        self._added: list[tuple[Pool, Endpoint]] = []
        self._removed: list[tuple[Pool, Endpoint]] = []
        # Names that are followed from now on, no longer, and with another weight.
        self._found: list[tuple[Pool, Name]] = []
        self._lost: list[tuple[Pool, Name]] = []
        self._weighed: list[tuple[Name, BackendConfig]] = []
        self._awaited: dict[str, list[Endpoint]] = {}

    def __repr__(self) -> str:
        return f"<Changeover to {self.generation.number}: {len(self._fresh)} fresh pools>"

    async def prepare(self, *, patience: float = PATIENCE) -> list[str]:
        """Connect what is new and check it; gives what stands in the way, in words."""
        try:
            self._build()
        except ConfigError as error:
            return error.faults
        changed = asyncio.Event()
        ends = [model.pool.on_change(changed.set) for model in self._models.values()]
        try:
            async with asyncio.timeout(patience):
                while not (faults := self._faults()) and self._missing():
                    changed.clear()
                    await changed.wait()
            return faults
        except TimeoutError:
            return [f"{what} after {patience:g} s" for what in self._missing()]
        finally:
            for end in ends:
                end()

    def commit(self) -> None:
        """Switch to what was prepared."""
        gateway, generation = self._gateway, self.generation
        for pool, endpoint in self._added:
            pool.release(endpoint)
        for pool, endpoint in self._removed:
            pool.remove(endpoint)
        for _, name in self._found:
            # Its endpoints are released below, with all that nobody holds back.
            name.waiting = False
        for pool, name in self._lost:
            pool.unfollow(name)
        for name, backend in self._weighed:
            name.backend = backend
        gateway.set_weights(self._models, self._config, generation)
        for model in self._models.values():
            for endpoint in (*model.pool.endpoints, *model.pool.held):
                move = (
                    model.pool.hold
                    if generation.setting(endpoint.name).drained
                    else (model.pool.release)
                )
                move(endpoint)
        models, self._models = self._models, {}
        gateway.replace(models, self._config, generation)
        self._forget()

    def abort(self) -> None:
        """Take back what `prepare` began."""
        for pool, endpoint in self._added:
            pool.remove(endpoint)
        for pool, found in self._found:
            pool.unfollow(found)
        for pool in self._fresh:
            self._gateway.close(pool)
        for name, model in self._models.items():
            if self._gateway.models.get(name) is not model:
                model.batch.retire()
        self._forget()

    def _forget(self) -> None:
        self._models = {}
        self._fresh, self._added, self._removed, self._awaited = [], [], [], {}
        self._found, self._lost, self._weighed = [], [], []

    def _build(self) -> None:
        gateway = self._gateway
        # Before any stage is made: they take their counters by these names.
        gateway.telemetry.models |= set(self._config.models)
        for name, plain in self._config.models.items():
            section = mirrored(plain, self.generation.shadows.get(name, {}))
            wanted = spots(name, section, self.generation, gateway.runtime)
            old = gateway.models.get(name)
            if old is None or not self._same_pool(name, old.config, section, wanted):
                self._build_pool(name, section, wanted, old)
                continue
            self._change_pool(section, wanted, old.pool)
            if _stack_of(old.config) == _stack_of(section):
                self._models[name] = old
            else:
                self._models[name] = gateway.make_model(name, section, old.pool, before=old.batch)

    def _same_pool(self, name: str, old: ModelConfig, new: ModelConfig, wanted: list[Spot]) -> bool:
        """Whether the pool of before can go on: the same model, reached in the same way."""
        gateway = self._gateway
        before = spots(name, gateway.config.models[name], gateway.generation, gateway.runtime)
        kept = {spot.name: spot.recipe for spot in before}
        return (
            _pool_of(old) == _pool_of(new)
            and {place.file for place in gateway.generation.of(name)}
            == {place.file for place in self.generation.of(name)}
            and all(kept.get(spot.name, spot.recipe) == spot.recipe for spot in wanted)
        )

    def _build_pool(
        self, name: str, section: ModelConfig, wanted: list[Spot], old: Model | None
    ) -> None:
        gateway = self._gateway
        pool = make_pool(
            name, section, telemetry=gateway.telemetry, outstanding=gateway.outstanding
        )
        endpoints = [make_endpoint(spot, section, pool) for spot in wanted]
        pool.add(endpoints)
        for backend in names(section):
            pool.follow(gateway.make_name(backend, section, pool))
        self._fresh.append(pool)
        gateway.open(pool, section)
        own = [end for end, spot in zip(endpoints, wanted, strict=True) if spot.own]
        # Where there are workers of ours, those must be there; of others any one will do.
        self._awaited[name] = own
        same_file = old is not None and {place.file for place in gateway.generation.of(name)} == {
            place.file for place in self.generation.of(name)
        }
        before = old.batch if old is not None and same_file else None
        self._models[name] = gateway.make_model(name, section, pool, before=before)

    def _change_pool(self, section: ModelConfig, wanted: list[Spot], pool: Pool) -> None:
        self._change_names(section, pool)
        elsewhere = {id(each) for name in pool.followed for each in name.endpoints}
        there = {
            endpoint.name: endpoint
            for endpoint in (*pool.endpoints, *pool.held)
            if id(endpoint) not in elsewhere
        }
        for spot in wanted:
            if there.pop(spot.name, None) is None:
                endpoint = make_endpoint(spot, section, pool)
                pool.add([endpoint], held=True)
                self._added.append((pool, endpoint))
                if spot.own:
                    self._awaited.setdefault(pool.model, []).append(endpoint)
        self._removed += [(pool, endpoint) for endpoint in there.values()]

    def _change_names(self, section: ModelConfig, pool: Pool) -> None:
        """Have *pool* follow the names of *section* once all is ready, and those alone."""
        left = list(followed(pool))
        for backend in names(section):
            same = next((name for name in left if is_same_name(name.backend, backend)), None)
            if same is not None:
                left.remove(same)
                self._weighed.append((same, backend))
                continue
            name = self._gateway.make_name(backend, section, pool, waiting=True)
            pool.follow(name)
            self._found.append((pool, name))
        self._lost += [(pool, name) for name in left]

    def _faults(self) -> list[str]:
        """What is wrong with the models that are up."""
        faults = []
        for name, model in self._models.items():
            if model.info is None and model.fault:
                faults.append(f"models.{name}: {model.fault}")
        return faults + misfits(self._models, candidates(self._config))

    def _missing(self) -> list[str]:
        """What is not up yet, in words."""
        missing = []
        for name, endpoints in self._awaited.items():
            down = [endpoint.name for endpoint in endpoints if not endpoint.liveness.up]
            if down:
                missing.append(f"models.{name}: not connected to {', '.join(down)}")
        for name, model in self._models.items():
            if model.info is None and not model.fault and model.pool.info is not None:
                missing.append(f"models.{name}: its golden vectors are not checked")
        for pool in self._fresh:
            if not any(endpoint.liveness.up for endpoint in pool.endpoints):
                where = ", ".join(
                    [*(each.name for each in pool.endpoints), *map(repr, pool.followed)]
                )
                missing.append(f"models.{pool.model}: no answer from any of {where}")
        return missing


def _pool_of(section: ModelConfig) -> object:
    """What a pool and its endpoints are built of, weights and sizes left out."""
    return (
        section.policy,
        section.timeouts,
        section.health,
        section.ejection,
        section.panic_threshold,
        section.slow_start,
    )


def _stack_of(section: ModelConfig) -> ModelConfig:
    """What a stack is built of; whatever the pool is built of is no part of it."""
    plain = type(section)(backends=section.backends)
    return msgspec.structs.replace(
        section,
        backends=(),
        probes=(),
        policy=plain.policy,
        timeouts=plain.timeouts,
        health=plain.health,
        ejection=plain.ejection,
        panic_threshold=plain.panic_threshold,
        slow_start=plain.slow_start,
    )
