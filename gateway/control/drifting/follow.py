# SPDX-License-Identifier: Apache-2.0
"""Follow: a watch for each model with a section ``drift``, as the configuration has it now."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.quality.database import Unusable
from gateway.quality.drift.reference import Reference
from gateway.quality.drift.watch import WINDOWS, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.control.operations import Operations
    from gateway.control.probing.memory import Keeper
    from gateway.quality.drift.judge import Verdict
    from gateway.quality.drift.options import DriftConfig
    from gateway.telemetry import Telemetry
    from gateway.wire.samples import Observed

log: Final = logging.getLogger(__name__)

# Seconds between two looks at all windows, after which what is known is kept as well.
LOOK: Final = 30.0
# Messages: half a minute of a few gateway processes, while the ledger is being opened.
_MOST_EARLY: Final = 256


class Follow:
    """Watches for the models of *operations*; *keeper* has what they know beyond this process.

    *notify* is told of what operators should know. *clock* is wall-clock time.
    """

    def __init__(
        self,
        operations: Operations,
        keeper: Keeper,
        *,
        telemetry: Telemetry,
        notify: Callable[[dict[str, object]], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._operations = operations
        self._keeper = keeper
        self._telemetry = telemetry
        self._notify = notify
        self._clock = clock
        self._watches: dict[str, tuple[DriftConfig, Watch]] = {}
        self._alarming: dict[tuple[str, str], set[str]] = {}
        self._shown: dict[str, set[str]] = {}
        self._changed = asyncio.Event()
        operations.on_change(self._changed.set)
        # What comes before it is known what was kept; None from then on.
        self._early: list[Observed] | None = []
        for name, options in self._wanted().items():
            watch = _made(name, options)
            if watch is not None:
                self._watches[name] = (options, watch)

    def __repr__(self) -> str:
        return f"<Follow {list(self._watches)}>"

    async def run(self) -> None:
        """Look again and again until cancelled, and keep what is known at the end."""
        for name, (_, watch) in list(self._watches.items()):
            await self._restore(name, watch)
        early, self._early = self._early or [], None
        for observed in early:
            self.take(observed)
        try:
            while True:
                # A reload is followed at once: what comes meanwhile is nobody's.
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._changed.wait()
                self._changed.clear()
                await self.review()
                self.look()
                await self._keep()
        finally:
            await self._keep()

    def take(self, observed: Observed) -> None:
        """Count what a gateway process has seen."""
        if self._early is not None:
            if len(self._early) < _MOST_EARLY:
                self._early.append(observed)
            return
        found = self._watches.get(observed.model)
        if found is None:
            return
        was_learning = found[1].reference is None
        found[1].take(observed, now=self._clock())
        if was_learning and found[1].reference is not None:
            log.info("model %s: drift is watched beside %r", observed.model, found[1].reference)

    @property
    def watches(self) -> dict[str, Watch]:
        """By model."""
        return {name: watch for name, (_, watch) in self._watches.items()}

    def verdict(self, model: str, window: str) -> Verdict | None:
        """On the *window* of *model* now; None while it is learning. Raises KeyError."""
        return self._watches[model][1].verdict(window, now=self._clock())

    async def forget(self, model: str) -> None:
        """Learn anew, or begin anew beside the file; raises KeyError for a model without."""
        options, _ = self._watches[model]
        watch = await asyncio.to_thread(_made, model, options)
        if watch is not None:
            self._watches[model] = (options, watch)
            await self._put(model, b"")

    async def review(self) -> None:
        """Begin and end watches as the configuration does."""
        wanted = self._wanted()
        for name in [name for name in self._watches if wanted.get(name) != self._watches[name][0]]:
            del self._watches[name]
            self._clear(name)
        for name, options in wanted.items():
            if name in self._watches:
                continue
            watch = await asyncio.to_thread(_made, name, options)
            if watch is None:
                continue
            await self._restore(name, watch)
            self._watches[name] = (options, watch)

    def _wanted(self) -> dict[str, DriftConfig]:
        return {
            name: section.drift
            for name, section in self._operations.config.models.items()
            if section.drift is not None
        }

    async def _restore(self, name: str, watch: Watch) -> None:
        try:
            packed = await self._keeper.kept(f"drift/{name}")
        except Unusable as error:
            log.warning("what is known of the drift of %s cannot be read: %s", name, error)
            return
        if packed is not None and not watch.restore(packed):
            log.info("model %s: drift is watched anew, beside another reference", name)

    def look(self) -> None:
        """Judge all windows; fills the metrics, and tells of alarms that are new or over."""
        for name, (_, watch) in self._watches.items():
            for window in WINDOWS:
                verdict = watch.verdict(window, now=self._clock())
                if verdict is not None:
                    self._tell(name, window, verdict)

    def _tell(self, name: str, window: str, verdict: Verdict) -> None:
        telemetry = self._telemetry
        telemetry = self._telemetry
        alarms = {each.name for each in verdict.features if each.alarm}
        telemetry.probes.alarms.cell(name, window).value = len(alarms)
        if window == "1h":
            shown = set()
            for each in verdict.features:
                if "psi" in each.tests:
                    telemetry.probes.psi.cell(name, each.name).value = each.tests["psi"].distance
                    shown.add(each.name)
            for gone in self._shown.get(name, set()) - shown:
                telemetry.probes.psi.drop(name, gone)
            self._shown[name] = shown
        before = self._alarming.get((name, window), set())
        self._alarming[name, window] = alarms
        if alarms - before:
            log.warning("drift of %s: %s", name, verdict.sentence)
            self._notify(
                {
                    "event": "drift",
                    "model": name,
                    "window": window,
                    "features": sorted(alarms),
                    "message": verdict.sentence,
                }
            )
        elif before and not alarms:
            log.info("drift of %s is over: %s", name, verdict.sentence)

    def _clear(self, name: str) -> None:
        telemetry = self._telemetry
        telemetry = self._telemetry
        for feature in self._shown.pop(name, set()):
            telemetry.probes.psi.drop(name, feature)
        for window in WINDOWS:
            telemetry.probes.alarms.drop(name, window)
            self._alarming.pop((name, window), None)

    async def _keep(self) -> None:
        for name, (_, watch) in list(self._watches.items()):
            if packed := watch.pack():
                await self._put(name, packed)

    async def _put(self, name: str, packed: bytes) -> None:
        try:
            await self._keeper.keep(f"drift/{name}", packed or None)
        except Unusable as error:
            log.warning("what is known of the drift of %s is not kept: %s", name, error)


def _made(name: str, options: DriftConfig) -> Watch | None:
    """A watch as *options* say; None where the file cannot be read by now, which is logged."""
    reference = None
    if options.reference is not None:
        try:
            reference = Reference.read(
                Path(options.reference).read_bytes(), wanted=options.features
            )
        except (OSError, ValueError) as error:
            log.warning("model %s: drift is not watched: %s: %s", name, options.reference, error)
            return None
    return Watch(
        name,
        reference=reference,
        learn_rows=options.learn_rows,
        wanted=options.features,
        floor=options.floor,
        alpha=options.alpha,
    )
