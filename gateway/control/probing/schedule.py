# SPDX-License-Identifier: Apache-2.0
"""Schedule: when each set is asked, and what is done about the endpoints that it finds wrong."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.control.probing.figures import Figures
from gateway.control.probing.target import Target
from gateway.control.probing.verdicts import Verdicts
from gateway.control.publisher import OperationFailed
from gateway.quality.probes.report import Round

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.config import ModelConfig
    from gateway.control.operations import Operations
    from gateway.control.probing.rounds import Rounds
    from gateway.quality.probes.options import ProbeConfig
    from gateway.telemetry import Telemetry
    from gateway.wire.generation import Generation, Setting

log: Final = logging.getLogger(__name__)

# Rounds of each set that are kept for whoever asks.
KEPT: Final = 20
# Seconds until the first round, for workers to warm up, and between two looks at what is due.
_FIRST: Final = 5.0
_LOOK: Final = 0.2


class Unknown(Exception):
    """There is no such set; the message says which there are."""


class Schedule:
    """Asks the sets of all models of *operations* when they are due, one at a time.

    *rounds* asks them. *notify* is told of what operators should know. *clock* is monotonic time.
    """

    def __init__(
        self,
        operations: Operations,
        rounds: Rounds,
        *,
        runtime: Path,
        telemetry: Telemetry,
        notify: Callable[[dict[str, object]], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._operations = operations
        self._rounds = rounds
        self._runtime = runtime
        self._notify = notify
        self._clock = clock
        self._sleep = sleep
        self._figures = Figures(telemetry)
        self._turn = asyncio.Lock()
        self._due: dict[tuple[str, ProbeConfig], float] = {}
        self._verdicts: defaultdict[str, Verdicts] = defaultdict(Verdicts)
        self._history: defaultdict[tuple[str, str], deque[Round]] = defaultdict(
            lambda: deque(maxlen=KEPT)
        )

    def __repr__(self) -> str:
        return f"<Schedule of {len(self._due)} sets>"

    async def run(self) -> None:
        """Ask what is due until cancelled."""
        while True:
            for name, probe in self.review():
                try:
                    await self.ask(name, probe)
                except Unknown:
                    continue  # a reload has taken it away meanwhile
            await self._sleep(_LOOK)

    def review(self) -> list[tuple[str, ProbeConfig]]:
        """Take up and drop sets as the configuration does; gives those that are due."""
        now = self._clock()
        wanted = [
            (name, probe)
            for name, model in self._operations.config.models.items()
            for probe in model.probes
        ]
        self._due = {key: self._due.get(key, now + min(_FIRST, key[1].every)) for key in wanted}
        for name, verdicts in self._verdicts.items():
            verdicts.keep({probe.file for model, probe in wanted if model == name})
        return [key for key, at in self._due.items() if at <= now]

    def sets(self) -> list[tuple[str, ProbeConfig, list[Round]]]:
        """Every set with its last rounds, the newest first."""
        return [
            (name, probe, list(reversed(self._history[name, probe.file])))
            for name, probe in self._due
        ]

    def find(self, model: str, file: str = "") -> ProbeConfig:
        """The set *file* of *model*, the first one where it is not said; raises Unknown."""
        section = self._operations.config.models.get(model)
        if section is None:
            there = ", ".join(self._operations.config.models)
            raise Unknown(f"no model '{model}'; there are: {there}")
        for probe in section.probes:
            if not file or probe.file == file:
                return probe
        if not section.probes:
            raise Unknown(f"model '{model}' has no section 'probes' in the configuration")
        there = ", ".join(probe.file for probe in section.probes)
        raise Unknown(f"model '{model}' has no probes of '{file}'; there are: {there}")

    async def ask(self, name: str, probe: ProbeConfig, *, accept: bool = False) -> Round:
        """A round of *probe* now, and what follows from it; *accept*: its answers are golden.

        Raises Unknown where the model is gone.
        """
        async with self._turn:
            operations = self._operations
            section = operations.config.models.get(name)
            if section is None:
                raise Unknown(f"no model '{name}' any more")
            generation = operations.generation
            target = Target(name, section, generation, self._runtime)
            try:
                if accept:
                    await self._rounds.forget(target, probe)
                    self._verdicts[name].forget()
                found = await self._rounds.run(target, probe)
                if _same(generation, operations.generation):
                    found = await self._act(name, section, probe, found)
                else:
                    found = msgspec.structs.replace(
                        found,
                        outcome="failed",
                        series=(),
                        sentence=f"The endpoints of {name} changed meanwhile: nothing compared.",
                    )
            finally:
                self._due[name, probe] = self._clock() + probe.every
            self._tell(name, probe, found)
            return found

    async def _act(
        self, name: str, section: ModelConfig, probe: ProbeConfig, found: Round
    ) -> Round:
        """Eject and let back what the verdicts say; *found* with what was done."""
        verdicts = self._verdicts[name]
        verdicts.note(probe.file, found.series)
        if not probe.eject:
            return found
        generation = self._operations.generation
        names = [series.endpoint for series in found.series if series.path == "direct"]
        out = [each for each in names if generation.setting(each).wrong]
        todo = verdicts.consequence(
            able=self._able(name, names),
            there=[each.endpoint for each in found.series if each.endpoint and not each.error],
            out=out,
            most=section.ejection.max_ejected,
            rise=probe.rise,
        )
        ejected = [each for each in todo.eject if await self._set(each, wrong=True)]
        returned = [each for each in todo.restore if await self._set(each, wrong=False)]
        return msgspec.structs.replace(
            found, ejected=tuple(ejected), returned=tuple(returned), spared=tuple(todo.spare)
        )

    def _able(self, name: str, endpoints: list[str]) -> list[str]:
        """Those of *endpoints* that some gateway process could send requests to."""
        able: dict[str, None] = {}
        for state in self._rounds.states().values():
            model = state.models.get(name)
            for each in model.endpoints if model is not None else ():
                if each.name in endpoints and (each.state == "ready" or each.wrong):
                    able[each.name] = None
        return list(able)

    async def _set(self, endpoint: str, *, wrong: bool) -> bool:
        def change(setting: Setting) -> Setting:
            return msgspec.structs.replace(setting, wrong=wrong)

        try:
            await self._operations.set_endpoint(endpoint, change)
        except OperationFailed as error:
            log.warning("endpoint %s stays as it is: %s", endpoint, error)
            return False
        return True

    def _tell(self, name: str, probe: ProbeConfig, found: Round) -> None:
        self._figures.take(found)
        history = self._history[name, probe.file]
        before = history[-1].outcome if history else ""
        history.append(found)
        extra = {"model": name, "file": probe.file, "outcome": found.outcome}
        if found.outcome in {"wrong", "undecided"} or found.ejected:
            log.warning("probes of %s: %s", name, found.sentence, extra=extra)
        elif found.outcome != before or found.returned:
            log.info("probes of %s: %s", name, found.sentence, extra=extra)
        if (found.outcome == "wrong" and before != "wrong") or found.ejected or found.returned:
            self._notify(
                {
                    "event": "probe",
                    "model": name,
                    "outcome": found.outcome,
                    "message": found.sentence,
                    "ejected": list(found.ejected),
                    "returned": list(found.returned),
                }
            )


def _same(before: Generation, after: Generation) -> bool:
    """Whether both run the same workers with the same configuration."""
    return (before.config, before.places) == (after.config, after.places)
