# SPDX-License-Identifier: Apache-2.0
"""Pareto: settings than which no other is better in everything."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.lab.report.front import Candidate, pareto
from gateway.lab.tune.measured import Measured, Objective, Trial
from gateway.lab.tune.setting import KNOBS, Setting


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A setting for a chart: requests a second, seconds, bytes, and a share of right answers.

    *feasible* says whether it meets the objective, *front* whether no other is better in all four.
    """

    name: str
    setting: Setting
    throughput: float
    latency: float
    memory: int
    accuracy: float | None
    feasible: bool
    front: bool = False
    chosen: bool = False


def points(
    trials: Sequence[Trial], objective: Objective, chosen: Setting,
    confirmed: dict[Setting, Measured],
) -> list[Point]:  # fmt: skip
    """Trials that were neither refused nor given up, with figures of *confirmed* where known."""
    every = {one.setting: one.measured for one in trials} | confirmed
    made = [
        Point(
            name=setting.name,
            setting=setting,
            throughput=measured.throughput,
            latency=measured.latency,
            memory=measured.memory,
            accuracy=measured.accuracy,
            feasible=measured.feasible(objective),
            chosen=setting == chosen,
        )
        for setting, measured in every.items()
        if measured.refused is None and measured.failed is None and not measured.pruned
    ]
    front = {one.label for one in pareto([candidate(one) for one in made if one.feasible])}
    return [msgspec.structs.replace(one, front=one.feasible and one.name in front) for one in made]


def candidate(point: Point, start: Setting | None = None) -> Candidate:
    """*point* for a report's chart; *start* is the setting of before."""
    return Candidate(
        label=point.name,
        throughput=point.throughput,
        p99=point.latency,
        memory=point.memory,
        accuracy=point.accuracy,
        settings={name: str(getattr(point.setting, name)) for name in KNOBS},
        is_default=point.setting == start,
        is_chosen=point.chosen,
    )
