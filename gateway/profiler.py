# SPDX-License-Identifier: Apache-2.0
"""Profiler: twice a second, what models with a section ``drift`` were asked and said goes to the
control process, as columns of features.

That is done in pieces of about a millisecond, between which the event loop serves requests.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.quality.drift.watch import joined
from gateway.sampling.outlet import Outlet
from gateway.stages.profile import Draw, Profile, features_drawn
from gateway.wire.runtime import samples_socket
from gateway.wire.samples import Observed, encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.quality.drift.features import Features
    from gateway.telemetry import Telemetry
    from gateway.wire.message import Service

# Seconds between two looks.
INTERVAL: Final = 0.5


class Profiler:
    """Makes the Profile stages of all models, and empties them into *outlet*."""

    def __init__(
        self,
        outlet: Outlet,
        *,
        telemetry: Telemetry,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._outlet = outlet
        self._telemetry = telemetry
        self._interval = interval
        self._clock = clock
        self._sleep = sleep
        self._draws: dict[Draw, tuple[str, int]] = {}
        self._some = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Profiler {list(self._draws)}>"

    def stage(self, inner: Service, *, model: str, rows_per_second: int) -> Profile:
        """The stage of *model* above *inner*."""
        most = max(1, round(rows_per_second * self._interval))
        draw = Draw(most)
        self._draws[draw] = (model, most)
        self._some.set()
        stage = Profile(inner, draw=draw)
        # The stage ends with the last request of its stack.
        weakref.finalize(stage, partial(self._draws.pop, draw, None)).atexit = False
        return stage

    async def run(self) -> None:
        """Work until cancelled, from when there is something to do."""
        await self._some.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._outlet.run())
            while True:
                await self._sleep(self._interval)
                await self.look()

    async def look(self) -> None:
        """Send what has been drawn until now."""
        for draw, (model, most) in list(self._draws.items()):
            rows, seen = draw.take(most)
            if not rows:
                continue
            parts = []
            for part in features_drawn(rows):
                if part is not None and part.rows:
                    parts.append(part)
                # Requests have their turn in between.
                await self._sleep(0)
            self._send(model, parts, seen=seen, rows=len(rows))

    def _send(self, model: str, parts: list[Features], *, seen: int, rows: int) -> None:
        telemetry = self._telemetry
        if not parts:
            telemetry.probes.observed.cell(model, "unreadable").value += rows
            return
        found = joined(parts)
        sent = self._outlet.offer(encode(observed(model, found, seen=seen, at=self._clock())))
        result = "sent" if sent else "control_down"
        telemetry.probes.observed.cell(model, result).value += found.rows


def observed(model: str, found: Features, *, seen: int, at: float) -> Observed:
    """*found*, drawn from *seen* rows, as it travels."""
    names = list(found.numbers)
    numbers = np.empty((found.rows, len(names)), np.float32)
    with np.errstate(over="ignore"):
        for column, name in enumerate(names):
            numbers[:, column] = found.numbers[name]
    return Observed(
        model=model,
        at=at,
        seen=seen,
        number_names=names,
        numbers=numbers,
        text_names=list(found.texts),
        texts=list(found.texts.values()),
        confidence=found.confidence,
    )


def make_profiler(runtime: Path, telemetry: Telemetry) -> Profiler:
    """That of a gateway process whose control process listens in *runtime*."""
    return Profiler(Outlet(samples_socket(runtime)), telemetry=telemetry)
