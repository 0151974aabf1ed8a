# SPDX-License-Identifier: Apache-2.0
"""Figure gauges: live figures as metrics, of windows and endpoints that are bounded in number."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from gateway.quality.figures.breakdown import MOST_PARTS
from gateway.quality.figures.live import watched_target
from gateway.quality.figures.matrices import main_figure, plain_averages
from gateway.quality.figures.query import SERVED, WINDOWS, Query
from gateway.quality.figures.read import alarm_of
from gateway.quality.figures.view import view_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.quality.figures.group import Group
    from gateway.quality.figures.live import LiveFigures
    from gateway.quality.figures.spec import Spec
    from gateway.quality.figures.view import View
    from gateway.telemetry import Telemetry
    from gateway.telemetry.cells import Family, GaugeCell

ALL: Final = "all"
# Windows move on without rows too: they are looked at again after so many seconds.
_AGAIN: Final = 30.0
# And no sooner than this after the last look, however many rows come.
_PAUSE: Final = 5.0
_SIZED_EVERY: Final = 10.0


class Gauges:
    """Fills the gauges of *telemetry* from *live*, a window and endpoint at a time."""

    def __init__(self, live: LiveFigures, telemetry: Telemetry) -> None:
        self._live = live
        self._telemetry = telemetry
        self._sized = float("-inf")
        # By model: the revision and the time of the last look.
        self._seen: dict[str, tuple[int, float]] = {}
        self._cells: dict[str, set[tuple[Family[GaugeCell], tuple[str, ...]]]] = {}

    def __repr__(self) -> str:
        return f"<Gauges of {len(self._seen)} models>"

    async def refresh(self) -> None:
        """Bring the gauges of every model that has changed up to date; others go first between."""
        self._live.settle()
        if time.monotonic() - self._sized >= _SIZED_EVERY:
            # Thousands of tables where many files, and months, are told apart.
            self._sized = time.monotonic()
            self._telemetry.figures.bytes.cell().value = self._live.size
        for model in [name for name in self._cells if name not in self._live.specs]:
            self._put(model, set())
        for model, spec in list(self._live.specs.items()):
            groups = list(self._live.chosen(model, SERVED).values())
            revision, now = sum(group.revision for group in groups), time.monotonic()
            seen, looked = self._seen.get(model, (-1, -_AGAIN))
            if now - looked < (_PAUSE if revision != seen else _AGAIN):
                continue
            self._seen[model] = (revision, now)
            await self._look(model, spec, groups)

    async def _look(self, model: str, spec: Spec, groups: list[Group]) -> None:
        mine: set[tuple[Family[GaugeCell], tuple[str, ...]]] = set()

        def put(family: Family[GaugeCell], value: float, *labels: str) -> None:
            family.cell(model, *labels).value = value
            mine.add((family, (model, *labels)))

        target, alarm = watched_target(spec), alarm_of(groups)
        if target is not None:
            put(self._telemetry.figures.target, target)
            put(self._telemetry.figures.alarm, float(alarm is not None and alarm.on))
        put(self._telemetry.figures.left_out, sum(group.cohorts.left_out for group in groups))
        endpoints = dict.fromkeys(name for group in groups for name in group.cohorts.endpoints())
        for window in WINDOWS:
            for backend in (None, *list(endpoints)[:MOST_PARTS]):
                view = view_of(
                    groups, spec, Query(window=window, endpoint=backend), self._live.now, brief=True
                )
                if view.rows:
                    self._figures(put, view, backend or ALL, window)
                if backend is None:
                    made = float(view.stream.total("strata")[0])
                    if made:
                        put(self._telemetry.figures.coverage, min(1.0, view.rows / made), window)
                    if view.rows:
                        put(self._telemetry.figures.delay, view.delays.median, window)
                # A window of a month is some milliseconds: labels may come in between.
                await asyncio.sleep(0)
        self._put(model, mine)

    def _figures(self, put: Callable[..., None], view: View, backend: str, window: str) -> None:
        name, first = main_figure(view, level=view.spec.level)
        telemetry = self._telemetry
        put(telemetry.figures.accuracy_labels, view.rows, backend, window)
        if name == "mae":
            put(telemetry.figures.error, first.value, backend, window)
            return
        put(telemetry.figures.accuracy, first.value, backend, window)
        put(telemetry.figures.accuracy_lower, first.lower, backend, window)
        put(telemetry.figures.accuracy_upper, first.upper, backend, window)
        for average, parts in (plain_averages(view) or {}).items():
            for family, value in zip(
                (telemetry.figures.precision, telemetry.figures.recall, telemetry.figures.f1),
                parts,
                strict=True,
            ):
                put(family, value, backend, window, average)

    def _put(self, model: str, mine: set[tuple[Family[GaugeCell], tuple[str, ...]]]) -> None:
        """Drop the series of *model* that are not there any more."""
        for family, labels in self._cells.get(model, set()) - mine:
            family.drop(*labels)
        if mine:
            self._cells[model] = mine
        else:
            self._cells.pop(model, None)
            self._seen.pop(model, None)
