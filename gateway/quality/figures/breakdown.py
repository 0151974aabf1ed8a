# SPDX-License-Identifier: Apache-2.0
"""Breakdown: the first figure of each endpoint, slice and model file of a window, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.quality.figures.answer import Breakdown
from gateway.statistics.arrays import Floats, Values
from gateway.statistics.estimate import Estimate
from gateway.statistics.intervals import mean_interval

if TYPE_CHECKING:
    from gateway.quality.figures.cube import Cube
    from gateway.quality.figures.group import Group
    from gateway.quality.figures.spec import Spec
    from gateway.statistics.windows import Windows

# Endpoints, values of slices and model files that are told apart in an answer.
MOST_PARTS: Final = 64
# Sums of a cohort: rows, w, w^2, of what the figure is the mean of, of its square; predictions.
_WIDTH: Final = 6


@dataclass(frozen=True, slots=True)
class Rows:
    """Sums by cohort [cohorts, 6] of one *group*, of the cohorts that the reader asked for."""

    group: Group
    sums: Floats

    @classmethod
    def of(cls, group: Group, cohorts: list[int] | None, since: float, until: float) -> Rows:
        """Those of the buckets that start at *since* or later and end at *until* or earlier."""
        size = len(group.cohorts)
        sums = np.zeros((size, _WIDTH))
        _add_labelled(sums, _within(group.labelled, since, until), group)
        strata = [cube.sums["strata"] for cube in _within(group.stream, since, until)]
        if strata:
            keys = np.concatenate([each.keys for each in strata])
            counts = np.concatenate([each.table[:, 0] for each in strata])
            cohort = keys // group.stream_layout.tables["strata"][0]
            sums[:, 5] = np.bincount(cohort, weights=counts, minlength=size)
        if cohorts is not None:
            sums[np.setdiff1d(np.arange(size), cohorts)] = 0.0
        return cls(group, sums)


def _within(windows: Windows[Cube], since: float, until: float) -> list[Cube]:
    return [cube for start, width, cube in windows if start >= since and start + width <= until]


def _add_labelled(sums: Floats, cubes: list[Cube], group: Group) -> None:
    if not cubes:
        return
    spec = group.spec
    name = {"regression": "moments", "multilabel": "rows"}.get(spec.task, "cells")
    span = group.layout.tables[name][0]
    keys = np.concatenate([cube.sums[name].keys for cube in cubes])
    table = np.concatenate([cube.sums[name].table for cube in cubes])
    if spec.task == "regression":
        # The moments after the count, w and w^2: |e| is the eighth column, e^2 the ninth.
        outcome, square = table[:, 8], table[:, 9]
    elif spec.task == "multilabel":
        outcome = square = table[:, 3]
    else:
        true, said = np.divmod(keys % span, spec.size + 1)
        outcome = square = table[:, 1] * ((true == said) & (true > 0))
    columns: tuple[Values, ...] = (*table[:, :3].T, outcome, square)
    for place, column in enumerate(columns):
        sums[:, place] = np.bincount(keys // span, weights=column, minlength=len(sums))


def parts_of(
    rows: Iterable[Rows], spec: Spec, *, level: float, worth: float, kind: str
) -> list[Breakdown]:
    """The first figure of each part; *kind* is endpoints, slices or files.

    *worth* is how many independent rows a row of the whole window is: repeats are worth less.
    """
    sums: dict[str, Floats] = {}
    for one in rows:
        for name, cohorts in _PARTS[kind](one.group).items():
            sums[name] = sums.get(name, np.zeros(_WIDTH)) + one.sums[cohorts].sum(axis=0)
    there = [(name, row) for name, row in sums.items() if row[0] or row[5]]
    return [
        Breakdown(name, _figure(row, spec, level, worth), round(row[5]), round(row[0]))
        for name, row in there[:MOST_PARTS]
    ]


def _figure(row: Floats, spec: Spec, level: float, worth: float) -> Estimate:
    count, total, squares, outcome, second, _ = row.tolist()
    effective = total**2 / squares * worth if squares > 0 else 0.0
    value = outcome / total if total else nan
    if spec.task != "regression":
        return Estimate.share(value, round(count), effective, level=level, always=True)
    variance = second / total - value * value if total else nan
    interval = mean_interval(value, variance, effective, level=level)
    return Estimate.of(value, interval, round(count), method="normal", effective=effective)


def _by_endpoint(group: Group) -> dict[str, list[int]]:
    return {name: group.cohorts.chosen(name, {}) or [] for name in group.cohorts.endpoints()}


def _by_slice(group: Group) -> dict[str, list[int]]:
    return {
        f"{tag}:{value}": group.cohorts.chosen(None, {tag: value}) or []
        for tag, values in group.cohorts.tags().items()
        for value in values
    }


_PARTS: Final[Mapping[str, Callable[[Group], dict[str, list[int]]]]] = {
    "endpoints": _by_endpoint,
    "slices": _by_slice,
}


def files_of(
    rows: Iterable[tuple[str, Rows]], spec: Spec, *, level: float, worth: float
) -> list[Breakdown]:
    """The first figure of each model file, by its digest."""
    sums = [(digest, one.sums.sum(axis=0)) for digest, one in rows]
    return [
        Breakdown(digest, _figure(row, spec, level, worth), round(row[5]), round(row[0]))
        for digest, row in sums[:MOST_PARTS]
        if row[0] or row[5]
    ]
