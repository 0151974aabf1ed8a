# SPDX-License-Identifier: Apache-2.0
"""Measured: what a setting gave, and Bench: who tries it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import msgspec

from gateway.lab.gate import Verdict
from gateway.lab.load.run import Run
from gateway.lab.search.slo import Slo
from gateway.lab.tune.setting import Setting

# Requests that may fail where the SLO says nothing of them; more are a fault and no load.
_ERRORS: Final = 0.001
# 1 % of 100 requests is one of them, in spite of binary fractions.
_ROUNDING: Final = 1e-9

# Hears of the goodput of window 0, 1, … and says whether to go on.
Report: TypeAlias = Callable[[int, float], bool]


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: *slo*, and of *memory* no more than so many bytes, or None."""

    slo: Slo
    memory: int | None = None

    def met(self, run: Run) -> bool:
        """Whether *run* kept the SLO, as counted: what failed is within no bound."""
        if not run.offered:
            return False
        failed = run.offered - run.ok
        bounds = all(
            failed + run.over(bound.seconds) <= (1 - bound.share) * run.offered + _ROUNDING
            for bound in self.slo.bounds
        )
        errors = _ERRORS if self.slo.errors is None else self.slo.errors
        return bounds and run.error_share <= errors

    @property
    def percentile(self) -> float:
        """Which one is shown: that of the highest bound, from 0 to 100."""
        return self.slo.bounds[-1].share * 100


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one setting gave.

    *throughput* is the highest goodput, in requests a second, at an offered rate at which the
    objective was met; 0 where it never was. *latency* is the percentile at that rate (at the lowest
    rate where it never was), *memory* what all processes hold in bytes. *refused* says why the
    setting may not be used, whatever its speed, *failed* why it could not be measured; *pruned*
    says that it was given up half-way.
    """

    throughput: float = 0.0
    latency: float = 0.0
    memory: int = 0
    accuracy: float | None = None
    capacity: float = 0.0
    windows: list[tuple[float, float, float]] = []
    verdict: Verdict | None = None
    refused: str | None = None
    failed: str | None = None
    pruned: bool = False
    seconds: float = 0.0

    def feasible(self, objective: Objective) -> bool:
        """Whether it meets *objective*."""
        return (
            self.refused is None
            and self.failed is None
            and self.throughput > 0
            and (objective.memory is None or self.memory <= objective.memory)
        )


class Bench(Protocol):
    """Tries a setting; raises LabError where that is not possible at all."""

    def measure(self, setting: Setting, report: Report | None = None) -> Measured:
        """What *setting* gives; *report* may end it early."""
        ...


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One try of a search."""

    number: int
    setting: Setting
    measured: Measured
