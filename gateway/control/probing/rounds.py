# SPDX-License-Identifier: Apache-2.0
"""Rounds: one set asked once on all of its paths, and what that means."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gateway.control.probing.direct import DirectPart, Found
from gateway.control.probing.pace import Pace
from gateway.control.probing.through import ThroughPart
from gateway.control.state import read_states
from gateway.quality.probes.report import Round, Series, outcome_of, sentence_of
from gateway.quality.probes.rows import Unusable, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.control.probing.memory import Memory
    from gateway.control.probing.target import Target
    from gateway.quality.probes.options import ProbeConfig
    from gateway.quality.probes.rows import Rows
    from gateway.wire.state import GatewayState

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - where it listens, not us
# Seconds for which what gateway processes wrote is good enough; they write once a second.
_FRESH = 0.5


class Rounds:
    """Asks sets of models; *memory* has what was answered before, *token* proves probes.

    *runtime* is the directory where gateway processes say what they see. *clock* is wall-clock
    time.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        runtime: Path,
        token: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.memory = memory
        self._runtime = runtime
        self._token = token
        self._clock = clock
        self._seen: tuple[float, dict[str, GatewayState]] = (0.0, {})

    def __repr__(self) -> str:
        return f"<Rounds {self.memory!r}>"

    def states(self) -> dict[str, GatewayState]:
        """What the gateway processes see, half a second old at most."""
        now = self._clock()
        if not 0 <= now - self._seen[0] < _FRESH:
            self._seen = (now, read_states(self._runtime, now=now))
        return self._seen[1]

    async def forget(self, target: Target, probe: ProbeConfig) -> None:
        """Forget what *target* answered to *probe*, and which files its endpoints should have."""
        try:
            rows = await asyncio.to_thread(read_rows, probe.file, probe.rows)
        except Unusable:
            return
        for spot in target.spots(self.states()):
            place = target.file_name(spot)
            if digest := await self.memory.text(place):
                for gateway in (False, True):
                    name = target.golden_name(rows, digest, gateway=gateway)
                    await self.memory.set_golden(name, None)
            await self.memory.set_text(place, "")

    async def run(self, target: Target, probe: ProbeConfig) -> Round:
        """Ask *target* what *probe* says, and compare; ejects nobody."""
        started = self._clock()
        began = time.monotonic()
        undecided = False
        try:
            # Off the loop: it may be large, or lie on a slow disk.
            rows = await asyncio.to_thread(read_rows, probe.file, probe.rows)
            found, series = await self._all(target, probe, rows, started)
            undecided = found.undecided
        except Unusable as error:
            series = [Series(path="file", error=str(error))]
        return Round(
            model=target.name,
            file=probe.file,
            started=started,
            seconds=time.monotonic() - began,
            outcome=outcome_of(series, undecided=undecided),
            sentence=sentence_of(target.name, series, undecided=undecided),
            series=tuple(series),
        )

    async def _all(
        self, target: Target, probe: ProbeConfig, rows: Rows, now: float
    ) -> tuple[Found, list[Series]]:
        def busy() -> bool:
            models = (state.models.get(target.name) for state in self.states().values())
            return any(model is not None and model.queued > 0 for model in models)

        pace = Pace(probe.share, busy=busy)
        part = DirectPart(target, rows, self.memory, pace, now=now)
        spots = target.spots(self.states())
        found = await (part.run(spots) if "direct" in probe.paths else part.meet(spots))
        series = list(found.series)
        paths = [
            path
            for path in ("uncached", "cached")
            if path in probe.paths and (path == "uncached" or target.config.cache is not None)
        ]
        http = next((state.http for state in self.states().values() if state.http), "")
        for path in paths:
            if found.info is None:
                series.append(Series(path=path, error="no endpoint says what the model takes"))
                continue
            if not http:
                series.append(Series(path=path, error="no gateway process says where it is"))
                continue
            through = ThroughPart(
                target,
                rows,
                self.memory,
                pace,
                http=reachable(http),
                token=self._token,
                info=found.info,
                digest=found.digest,
                ties=found.ties,
                trusted=not found.undecided and not any(each.wrong for each in found.series),
                now=now,
            )
            series.append(await through.run(path))
        return found, series


def reachable(http: str) -> str:
    """The address at which what listens at *http* can be reached from here."""
    host, _, port = http.rpartition(":")
    return f"{_ANYWHERE.get(host, host)}:{port}"
