# SPDX-License-Identifier: Apache-2.0
"""Pareto: settings than which no other is better in everything."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.lab.tune.measured import Measured, Objective, Trial
from gateway.lab.tune.setting import Setting


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
        if measured.refused is None and not measured.pruned
    ]
    return [
        msgspec.structs.replace(
            one, front=one.feasible and not any(_beats(two, one) for two in made if two.feasible)
        )
        for one in made
    ]


def _beats(first: Point, second: Point) -> bool:
    """As good in everything, and better in something."""
    mine, other = _goals(first), _goals(second)
    return all(a >= b for a, b in zip(mine, other, strict=True)) and mine != other


def _goals(point: Point) -> tuple[float, float, float, float]:
    accuracy = 0.0 if point.accuracy is None else point.accuracy
    return point.throughput, -point.latency, -point.memory, accuracy
