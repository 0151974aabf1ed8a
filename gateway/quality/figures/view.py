# SPDX-License-Identifier: Apache-2.0
"""View: the rows that a query is about, added up over buckets, model files and cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

import numpy as np

from gateway.quality.figures.cube import QUESTIONS, Cube, Gathered, Part, gather
from gateway.quality.figures.group import PROMOTION, Group
from gateway.quality.figures.lateness import NEVER, Delays, delays_of
from gateway.quality.figures.query import Query
from gateway.quality.figures.spec import Spec
from gateway.statistics.questions import ALONE_WIDTH, Clustered, clustered
from gateway.statistics.regression import Regression
from gateway.statistics.sketch import QuantileSketch

# Where the sums of w and of w^2 are, in every table of whole rows.
_W: Final = 1
_WW: Final = 2
_WHOLE: Final = {"classification": "cells", "multilabel": "rows", "regression": "moments"}

# What the first figure and its averages need.
_BRIEF: Final = {
    "classification": ("cells", QUESTIONS, "alone"),
    "multilabel": ("columns", "rows", QUESTIONS, "alone"),
    "regression": ("moments", QUESTIONS, "alone"),
}

# A group with its cohorts that count, None for all; and with buckets of its labelled rows.
Chosen = tuple[Group, "list[int] | None"]
Parts = tuple[Group, "list[Part]"]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Sums of labelled rows and of all predictions from *since* to *until*, seconds since epoch.

    *numbers* are the errors of a regression. *earlier* has labelled rows of before the window by
    confidence: what a calibration may learn from. *rows* are worth *effective* independent ones.
    """

    spec: Spec
    labelled: Gathered
    stream: Gathered
    since: float
    until: float
    revision: int
    delays: Delays = NEVER
    numbers: Regression | None = None
    earlier: Gathered | None = None
    worth: Clustered = field(init=False)
    rows: int = field(init=False)
    kish: float = field(init=False)
    effective: float = field(init=False)

    def __post_init__(self) -> None:
        """Make the weights of rows what they are worth: repeats of one question say less."""
        whole = self.labelled.total(_WHOLE[self.spec.task])
        alone = self.labelled["alone"].table
        worth = clustered(
            self.labelled[QUESTIONS].table,
            alone[0] if len(alone) else np.zeros(ALONE_WIDTH),
            share=self.labelled.share,
        )
        kish = float(whole[_W] ** 2 / whole[_WW]) if whole[_WW] > 0 else 0.0
        effective = min(kish, worth.worth) if worth.worth > 0 else kish
        put = object.__setattr__  # frozen for everybody else
        put(self, "worth", worth)
        put(self, "rows", round(float(whole[0])))
        put(self, "kish", kish)
        put(self, "effective", effective)
        if 0 < effective < kish:
            self._deflate(kish / effective)

    def _deflate(self, factor: float) -> None:
        for name in ("cells", "ranks", "losses", "rows"):
            if name in self.labelled.tables:
                self.labelled[name].table[:, _WW] *= factor
        if self.numbers is not None:
            self.numbers.deflate(factor)


def view_of(
    groups: Sequence[Group], spec: Spec, query: Query, now: float, *, brief: bool = False
) -> View:
    """The rows of *groups* that *query* asks for; all groups are of *spec*.

    *brief*: without the tables of scores and of what probabilities promise, and of an endpoint
    without its delays. Raises ValueError where an endpoint or a slice has never been met.
    """
    for group in groups:
        group.settle(now)
        group.labelled.fold(now)
        group.stream.fold(now)
    every = [(group, group.cohorts.chosen(query.endpoint, query.tags)) for group in groups]
    chosen = [(group, cohorts) for group, cohorts in every if cohorts != []]
    if groups and not chosen:
        raise ValueError(_strange(groups, query))
    if query.last is not None:
        return _last(chosen, spec, query.last, now)
    if query.seconds is None:
        return _promoted(chosen, spec, now)
    since = min(
        (group.stream.start(now - query.seconds, now) for group, _ in chosen),
        default=now - query.seconds,
    )
    part = brief and query.endpoint is not None and not query.settled
    delays = NEVER if part else delays_of(chosen, since, now)
    settled = query.settled and delays.p95 == delays.p95
    until = now - delays.p95 if settled else inf
    return _window(chosen, spec, since=since, until=until, now=now, delays=delays, brief=brief)


def _window(
    chosen: Sequence[Chosen],
    spec: Spec,
    *,
    since: float,
    until: float,
    now: float,
    delays: Delays,
    brief: bool = False,
) -> View:
    """The buckets that start at *since* or later and end at *until* or earlier."""
    labelled: list[Parts] = []
    stream: list[Part] = []
    earlier: list[Part] = []
    for group, cohorts in chosen:
        mine: list[Part] = []
        for start, width, cube in group.labelled:
            if start < since:
                earlier.append((cube, cohorts))
            elif start + width <= until:
                mine.append((cube, cohorts))
        labelled.append((group, mine))
        stream += [
            (cube, cohorts)
            for start, width, cube in group.stream
            if start >= since and start + width <= until
        ]
    return _added(
        labelled,
        stream,
        spec,
        since=since,
        until=min(until, now),
        delays=delays,
        earlier=() if brief else earlier,
        brief=brief,
    )


def _added(
    labelled: Sequence[Parts],
    stream: Sequence[Part],
    spec: Spec,
    *,
    since: float,
    until: float,
    delays: Delays,
    earlier: Sequence[Part] = (),
    brief: bool = False,
) -> View:
    group = labelled[0][0] if labelled else Group(spec)
    names = _BRIEF[spec.task] if brief else None
    return View(
        spec=spec,
        labelled=gather([one for _, mine in labelled for one in mine], group.layout, names),
        stream=gather(stream, group.stream_layout, ["strata"] if brief else None),
        since=since,
        until=until,
        revision=sum(one.revision for one, _ in labelled),
        delays=delays,
        numbers=_numbers(labelled) if spec.task == "regression" else None,
        earlier=gather(earlier, group.layout, ["confidence"])
        if spec.task == "classification"
        else None,
    )


def _numbers(parts: Sequence[Parts]) -> Regression:
    """The errors of all groups, each kept about a centre of its own."""
    total = Regression()
    for group, mine in parts:
        sums = gather(mine, group.layout, ["moments", "errors"])
        errors = QuantileSketch.of({"bins": sums["errors"]}, error=0.01)
        total.merge(Regression.of_moments(sums.total("moments"), errors, centre=group.centre))
    return total


def _last(chosen: Sequence[Chosen], spec: Spec, count: int, now: float) -> View:
    """The last *count* labelled rows, and all predictions since the first of them."""
    parts = [part for part in (one.recent(cohorts) for one, cohorts in chosen) if len(part[0])]
    group = chosen[0][0] if chosen else Group(spec)
    cube, since = Cube(group.layout), now
    if parts:
        times = np.concatenate([times for times, _ in parts])
        order = np.argsort(times, kind="stable")[-count:]
        columns = []
        for column in zip(*(columns for _, columns in parts), strict=True):
            there = [each for each in column if each is not None]
            whole = len(there) == len(column)
            columns.append(np.concatenate(there)[order] if whole else None)
        first = columns[0]
        if first is not None:
            cube.add(first, *columns[1:])
        since = float(times[order[0]])
    start = min((one.stream.start(since, now) for one, _ in chosen), default=since)
    stream = [
        (each, cohorts) for one, cohorts in chosen for begun, _, each in one.stream
        if begun >= start
    ]  # fmt: skip
    delays = delays_of(chosen, start, now)
    return _added([(group, [(cube, None)])], stream, spec, since=since, until=now, delays=delays)


def _promoted(chosen: Sequence[Chosen], spec: Spec, now: float) -> View:
    """All since the promotion that was marked; without one, since the newest file answers."""
    marks = [(group, cohorts, group.labelled.marked(PROMOTION)) for group, cohorts in chosen]
    marked = [(group, cohorts, mark) for group, cohorts, mark in marks if mark is not None]
    if not marked:
        newest = max(chosen, key=lambda one: one[0].first, default=None)
        if newest is None:
            return _window([], spec, since=now, until=inf, now=now, delays=NEVER)
        since = newest[0].stream.start(newest[0].first, now)
        delays = delays_of([newest], since, now)
        return _window([newest], spec, since=since, until=inf, now=now, delays=delays)
    since = min(mark[0] for _, _, mark in marked)
    stream = []
    for group, cohorts, _ in marked:
        all_rows = group.stream.marked(PROMOTION)
        if all_rows is not None:
            stream.append((all_rows[1], cohorts))
    return _added(
        [(group, [(mark[1], cohorts)]) for group, cohorts, mark in marked],
        stream,
        spec,
        since=since,
        until=now,
        delays=delays_of(chosen, since, now),
    )


def _strange(groups: Sequence[Group], query: Query) -> str:
    """What to say of an endpoint or slice that nobody has met."""
    endpoints = list(dict.fromkeys(name for group in groups for name in group.cohorts.endpoints()))
    if query.endpoint is not None and query.endpoint not in endpoints:
        return f"endpoint '{query.endpoint}' has answered nothing; there are {', '.join(endpoints)}"
    tags: dict[str, list[str]] = {}
    for group in groups:
        for tag, values in group.cohorts.tags().items():
            tags.setdefault(tag, []).extend(values)
    said = ",".join(f"{tag}:{value}" for tag, value in query.tags.items())
    if not tags:
        return f"slice '{said}': this model has no slices"
    there = "; ".join(f"{tag}: {', '.join(dict.fromkeys(each))}" for tag, each in tags.items())
    return f"slice '{said}' has met no row; there are {there}"
