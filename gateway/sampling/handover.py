# SPDX-License-Identifier: Apache-2.0
"""Handover: a few times a second, what all models have noted is read and sent off.

That is done in pieces of half a millisecond or one, between which the event loop serves requests.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gateway.wire.samples import encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.sampling.mirror import Mirror
    from gateway.sampling.outlet import Outlet
    from gateway.sampling.recorder import Recorder
    from gateway.telemetry import Telemetry
    from gateway.wire.samples import Samples

# Seconds. Figures are to follow a label within a second.
INTERVAL: Final = 0.1
# The part of that after which notes are read again while there are many: what is read soon is still
# in the processor's caches, and what waits is little.
BUSY: Final = 0.25
# Notes that are read in one turn of the event loop: fewer would cost more each.
AT_ONCE: Final = 512


class Handover:
    """Empties recorders into *outlet*, and has their mirrors decide, every *interval* seconds."""

    def __init__(
        self,
        outlet: Outlet,
        *,
        telemetry: Telemetry,
        interval: float = INTERVAL,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._outlet = outlet
        self._telemetry = telemetry
        self._interval = interval
        self._sleep = sleep
        self._recorders: dict[Recorder, tuple[Mirror, ...]] = {}
        self._retired: set[Recorder] = set()
        self._some = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Handover {list(self._recorders)} {self._outlet!r}>"

    def add(self, recorder: Recorder, mirrors: tuple[Mirror, ...] = ()) -> None:
        """Empty *recorder* from now on, and have *mirrors* decide."""
        self._recorders[recorder] = mirrors
        self._some.set()

    def retire(self, recorder: Recorder) -> None:
        """The last request that *recorder* could note is over: forget it once it is empty."""
        if recorder in self._recorders:
            self._retired.add(recorder)

    async def run(self) -> None:
        """Work until cancelled, from when there is something to do."""
        await self._some.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._outlet.run())
            beat = 0.0
            while True:
                busy = any(len(recorder.notes) >= AT_ONCE for recorder in self._recorders)
                beat = 1.0 if not busy else beat + BUSY
                # Pairs are few, and each handful costs as much as many.
                await self.empty(pairs=beat >= 1.0)
                beat = beat if beat < 1.0 else 0.0
                await self._sleep(self._interval * (BUSY if busy else 1.0))

    async def empty(self, *, pairs: bool = True) -> None:
        """Hand over all that has been noted until now, *pairs* too if they are wanted."""
        for recorder, mirrors in list(self._recorders.items()):
            for mirror in mirrors:
                mirror.decide()
            # Not for ever: whoever notes faster than this must not keep the others waiting.
            left = len(recorder.notes)
            while left > 0:
                left -= len(recorder.notes)
                for made in recorder.take(AT_ONCE):
                    self._offer(recorder, made)
                left += len(recorder.notes)
                await self._sleep(0)
            left = recorder.pairs if pairs else 0
            while left > 0:
                left -= recorder.pairs
                for made in recorder.take_pairs(AT_ONCE):
                    self._offer(recorder, made)
                left += recorder.pairs
                await self._sleep(0)
            lost = recorder.take_lost()
            if lost is not None and not self._outlet.offer(encode(lost)):
                recorder.return_lost(lost)
            if recorder in self._retired and not recorder and not any(mirrors):
                for mirror in mirrors:
                    mirror.retire()
                self._retired.discard(recorder)
                del self._recorders[recorder]

    async def finish(self, patience: float) -> None:
        """Hand over what is left at the end of the process, within *patience* seconds."""
        if not self._recorders:
            return
        await self.empty()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._outlet.emptied()

    def _offer(self, recorder: Recorder, made: Samples) -> None:
        rows = len(made)
        if self._outlet.offer(encode(made)):
            self._telemetry.sampling.samples.cell(recorder.model, made.role).value += rows
        else:
            recorder.lose("control_slow" if self._outlet.up else "control_down", rows)
