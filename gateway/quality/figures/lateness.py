# SPDX-License-Identifier: Apache-2.0
"""Lateness: how long the labels of a window take, and whether its figures are settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.quality.figures.cube import stacked
from gateway.statistics.delays import BINS, delay_bins, delay_quantile, settled_after

if TYPE_CHECKING:
    from gateway.quality.figures.group import Group

# A window is settled when so many of its predictions are older than most labels take.
_ENOUGH: Final = 0.95


@dataclass(frozen=True, slots=True)
class Delays:
    """How late labels are: in seconds half of them, and 95 % of those that will come.

    *settled* is the share of the window's predictions that are older than that, nan before the
    first label.
    """

    median: float
    p95: float
    settled: float

    @property
    def mature(self) -> bool:
        """Whether the labels that will come have come."""
        return self.settled >= _ENOUGH


NEVER: Final = Delays(nan, nan, nan)


def delays_of(chosen: Sequence[tuple[Group, list[int] | None]], since: float, now: float) -> Delays:
    """The delays of labels of predictions made from *since* on."""
    came = np.zeros(BINS)
    # Predictions by bucket: how many there are, and how many have no label yet.
    made: dict[tuple[float, float], list[float]] = {}
    for group, cohorts in chosen:
        span = group.stream_layout.tables["strata"][0]
        for start, width, cube in group.stream:
            if start >= since:
                rows = float(stacked([cube.sums["strata"]], span, cohorts)[1][:, 0].sum())
                both = made.setdefault((start, width), [0.0, 0.0])
                both[0] += rows
                both[1] += rows
        for start, width, cube in group.labelled:
            if start >= since:
                keys, table = stacked([cube.sums["delay"]], BINS, cohorts)
                came += np.bincount(keys, weights=table[:, 0], minlength=BINS)
                if (start, width) in made:
                    made[start, width][1] -= float(table[:, 0].sum())
    waiting = np.zeros(BINS)
    for (start, width), (_, left) in made.items():
        waiting[delay_bins(np.asarray([_age(start, width, now)]))] += max(0.0, left)
    p95 = settled_after(came, waiting)
    total = sum(rows for rows, _ in made.values())
    if isnan(p95) or not total:
        return Delays(delay_quantile(came, 0.5), p95, nan)
    old = sum(rows for (start, width), (rows, _) in made.items() if _age(start, width, now) >= p95)
    return Delays(delay_quantile(came, 0.5), p95, old / total)


def _age(start: float, width: float, now: float) -> float:
    """How old the predictions of a bucket are, in the middle of what has passed of it."""
    return max(0.0, now - (start + min(start + width, now)) / 2)
