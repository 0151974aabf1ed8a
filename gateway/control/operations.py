# SPDX-License-Identifier: Apache-2.0
"""Operations: reload, drain, weight and rolling restart, one after the other.

Each makes a new generation of the one in effect; `Publisher` brings it into effect or fails.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from gateway import logs
from gateway.config.load import decoded, read, read_file
from gateway.config.placement import numbers, placed
from gateway.control.carried import rollouts_of, shadows_of
from gateway.control.difference import changes, effective, needing_restart
from gateway.control.peer import PeerGone
from gateway.control.publisher import OperationFailed
from gateway.errors import ConfigError
from gateway.wire.generation import Generation, Rollout, Setting
from gateway.wire.runtime import config_copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Config
    from gateway.control.publisher import Publisher
    from gateway.telemetry import Telemetry

log: Final = logging.getLogger(__name__)


class Outcome(msgspec.Struct, frozen=True):
    """What became of a reload: ``applied`` or ``unchanged``, and what is in effect now.

    *restart* lists what the file asks for that takes effect with the next start only.
    """

    result: str
    generation: int
    changes: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()


class Operations:
    """Changes of what runs; *source* is the file that the operator edits, *config* in effect."""

    def __init__(
        self,
        source: str,
        config: Config,
        publisher: Publisher,
        *,
        runtime: Path,
        telemetry: Telemetry,
    ) -> None:
        self.config = config
        self.source = source
        self._publisher = publisher
        self._runtime = runtime
        self._telemetry = telemetry
        self._reloads = telemetry.config_reloads
        self._number = telemetry.config_generation.cell()
        self._number.value = publisher.generation.number
        self._show_shares()
        self._turn = asyncio.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._asked = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Operations {self._publisher!r}>"

    @property
    def generation(self) -> Generation:
        """The one in effect."""
        return self._publisher.generation

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call *callback* behind every change of the configuration or generation."""
        self._callbacks.append(callback)

    def ask_for_reload(self) -> None:
        """Reload soon; once, however often it is asked for until then."""
        self._asked.set()

    async def run(self) -> None:
        """Reload whenever it is asked for, until cancelled; the log says what became of it."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self.reload()
            except OperationFailed:
                continue

    async def reload(self) -> Outcome:
        """Put the file into effect; raises OperationFailed with a line for each fault."""
        async with self._turn:
            try:
                outcome = await self._reload()
            except OperationFailed as error:
                self._reloads.cell("rejected" if error.invalid else "failed").value += 1
                log.warning("configuration not reloaded", extra={"faults": error.faults})
                raise
            self._reloads.cell(outcome.result).value += 1
            log.info("configuration reloaded", extra=msgspec.structs.asdict(outcome))
            return outcome

    async def set_endpoint(self, endpoint: str, change: Callable[[Setting], Setting]) -> Setting:
        """Change what is said of *endpoint*; gives what is said now. Raises OperationFailed."""
        async with self._turn:
            now = self.generation
            setting = change(now.setting(endpoint))
            if setting != now.setting(endpoint):
                settings = {**now.settings, endpoint: setting}
                if setting == Setting():
                    del settings[endpoint]
                await self._publish(
                    self.config,
                    msgspec.structs.replace(now, number=now.number + 1, settings=settings),
                )
            return setting

    async def set_rollout(
        self, model: str, change: Callable[[Rollout | None], Rollout | None]
    ) -> Rollout | None:
        """Change how far the candidate of *model* has come; gives what holds now.

        None is for a candidate that has not begun. Raises OperationFailed.
        """
        async with self._turn:
            now = self.generation
            before = now.rollouts.get(model)
            rollout = change(before)
            if rollout != before:
                rollouts = {**now.rollouts}
                rollouts.pop(model, None)
                if rollout is not None:
                    rollouts[model] = rollout
                await self._publish(
                    self.config,
                    msgspec.structs.replace(now, number=now.number + 1, rollouts=rollouts),
                )
            return rollout

    async def set_shadow(self, model: str, shadow: str, share: float | None) -> None:
        """Have *share* of the requests to *model* mirrored to *shadow*; None: what the file says.

        Raises OperationFailed.
        """
        async with self._turn:
            now = self.generation
            shares = {**now.shadows.get(model, {})}
            shares.pop(shadow, None)
            if share is not None:
                shares[shadow] = share
            shadows = {name: each for name, each in now.shadows.items() if name != model}
            if shares:
                shadows[model] = shares
            if shadows != now.shadows:
                await self._publish(
                    self.config,
                    msgspec.structs.replace(now, number=now.number + 1, shadows=shadows),
                )

    async def restart(self, model: str) -> list[tuple[str, str]]:
        """Replace the workers of *model* one by one; gives the pairs of old and new names.

        Each new one takes traffic before its predecessor is drained and ended. Raises
        OperationFailed where one fails; those replaced before stay replaced.
        """
        async with self._turn:
            replaced: list[tuple[str, str]] = []
            for place in self.generation.of(model):
                now = self.generation
                new = msgspec.structs.replace(
                    place, number=next(numbers(model, self._publisher.taken))
                )
                settings = dict(now.settings)
                if place.name in settings:
                    settings[new.name] = settings.pop(place.name)
                generation = msgspec.structs.replace(
                    now,
                    number=now.number + 1,
                    places=tuple(new if each == place else each for each in now.places),
                    settings=settings,
                )
                try:
                    await self._publish(self.config, generation)
                except OperationFailed as error:
                    done = ", ".join(old for old, _ in replaced) or "none"
                    faults = [*error.faults, f"workers replaced before that: {done}"]
                    raise OperationFailed(faults) from error
                replaced.append((place.name, new.name))
                # One by one: there is memory for one worker more than usual, not for all.
                with suppress(PeerGone):
                    await self._publisher.tidy()
            return replaced

    async def purge(self, model: str | None, tenant: str | None) -> None:
        """Let nothing be found that *model* or *tenant* has in the cache; without either, all.

        Raises OperationFailed where it is not certain everywhere.
        """
        faults = await self._publisher.purge(model, tenant)
        log.info("cache purged", extra={"model": model, "tenant": tenant, "faults": faults})
        if faults:
            raise OperationFailed(faults)

    def models_of(self, endpoint: str) -> list[str]:
        """The models that have an endpoint of this name."""
        return [
            model
            for model, section in self.config.models.items()
            if any(place.name == endpoint for place in self.generation.of(model))
            or any(backend.has(model, endpoint) for backend in section.backends)
        ]

    def endpoints(self, model: str) -> list[str]:
        """The names of all endpoints of *model*; ``NAME#ADDRESS`` where a name is resolved."""
        own = [place.name for place in self.generation.of(model)]
        backends = self.config.models[model].backends
        return own + [
            f"{each.place(model)}#ADDRESS" if each.resolve is not None else each.place(model)
            for each in backends
            if each.worker is None
        ]

    async def _reload(self) -> Outcome:
        now = self.generation
        try:
            data = await asyncio.to_thread(read_file, self.source)
            text = decoded(data, name=self.source)
            file = await asyncio.to_thread(read, text, name=self.source)
        except ConfigError as error:
            raise OperationFailed(error.faults, invalid=True) from error
        restart = tuple(needing_restart(self.config, file))
        config = effective(self.config, file)
        places = placed(config, running=now.places, taken=self._publisher.taken)
        if config == self.config and set(places) == set(now.places):
            return Outcome("unchanged", now.number, restart=restart)
        number = now.number + 1
        copy = config_copy(self._runtime, number)
        generation = Generation(number, str(copy), places)
        workers = generation.names()
        names = [
            endpoint
            for endpoint in now.settings
            if endpoint in workers
            or any(
                backend.has(name, endpoint)
                for name, model in config.models.items()
                for backend in model.backends
            )
        ]
        generation = msgspec.structs.replace(
            generation,
            settings=now.kept(names),
            rollouts=rollouts_of(config, now.rollouts),
            shadows=shadows_of(config, now.shadows),
        )
        told = tuple(changes(self.config, now, config, places))
        try:
            copy.write_bytes(data)
            await self._publish(config, generation)
        except OSError as error:
            raise OperationFailed([f"{copy}: {error.strerror}"]) from error
        return Outcome("applied", number, changes=told, restart=restart)

    async def _publish(self, config: Config, generation: Generation) -> None:
        await self._publisher.publish(generation)
        self.config = config
        self._telemetry.models |= set(config.models)
        self._number.value = generation.number
        self._show_shares()
        logs.set_level(config.server.log_level)
        for callback in self._callbacks:
            callback()

    def _show_shares(self) -> None:
        """Tell how much of the live requests each candidate answers."""
        shares = self._telemetry.candidates.share
        for values in list(shares.cells):
            shares.drop(*values)
        for model, rollout in self.generation.rollouts.items():
            shares.cell(model).value = rollout.share
