# SPDX-License-Identifier: Apache-2.0
"""Probe: load at one rate until it is proven whether the SLO is kept, or time is up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import ceil, log2
from typing import Final, Literal, Protocol

import msgspec

from gateway.lab.load.run import Run
from gateway.lab.search.evidence import Evidence, Judgement, judge
from gateway.lab.search.point import Point
from gateway.lab.search.slo import Slo


class Prober(Protocol):
    """What loads a server: *rate* requests a second by Poisson for *seconds*, drawn by *seed*."""

    def __call__(self, rate: float, seconds: float, seed: int) -> Awaitable[Run]:
        """What was measured; the server is idle before, and warmed up."""
        ...


# "invalid": the generator could not keep the schedule, twice.
Outcome = Literal["pass", "fail", "undecided", "invalid"]


# The generator's lateness counts in the response time, so it can only make an SLO look broken;
# while it is this share of the tightest bound it decides nothing.
_HARMLESS: Final = 0.1
# Of a core, from which on a generating process has no time left.
_SATURATED: Final = 0.9


def is_sound(run: Run, slo: Slo) -> bool:
    """Whether *run* may be held to *slo*: it is valid, or late by nothing that matters to it.

    A run is valid when the generator is quick beside the server's median, which is much less.
    """
    if run.valid:
        return True
    tightest = min(bound.seconds for bound in slo.bounds)
    return (
        run.ok > 0
        and run.lag.percentile(99) <= _HARMLESS * tightest
        and all(one.cpu < _SATURATED for one in run.health)
    )


class Probe(msgspec.Struct, frozen=True):
    """What one rate came to."""

    rate: float
    outcome: Outcome
    point: Point
    judgement: Judgement

    @property
    def met(self) -> bool:
        """Whether the SLO was kept as counted, proven or not."""
        return self.outcome != "invalid" and self.judgement.met


class Timing(msgspec.Struct, frozen=True):
    """How long a probe may take: *first* seconds, doubled until *longest*.

    After each doubling the evidence is looked at, and each look has an equal part of the error
    that the confidence leaves: looking again and again must not prove what one look would not.
    """

    # Five windows of a second are the least that says how they vary.
    first: float = 5.0
    longest: float = 40.0

    @property
    def looks(self) -> int:
        """How often evidence is looked at."""
        return 1 + max(0, ceil(log2(self.longest / self.first)))


async def probe(
    prober: Prober,
    rate: float,
    slo: Slo,
    *,
    confidence: float,
    timing: Timing,
    seed: int,
    on_run: Callable[[Run], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Probe:
    """Load at *rate* until *slo* is proven to be kept or broken at *confidence*, or time is up.

    *stopped* says that a person wants no more: what was measured so far is judged.
    """
    each = 1 - (1 - confidence) / timing.looks
    runs: list[Run] = []
    evidence = Evidence.none(slo)
    judgement = judge(evidence, slo, confidence=each)
    length, again = timing.first, False
    while judgement.verdict == "undecided" and sum(run.seconds for run in runs) < timing.longest:
        run = await prober(rate, length, seed + len(runs) + 1000 * again)
        if on_run is not None:
            on_run(run)
        sound = is_sound(run, slo)
        if not sound and not again:
            again = True
            continue
        runs.append(run)
        if not sound:
            break
        evidence += Evidence.of_run(run, slo)
        judgement = judge(evidence, slo, confidence=each)
        length = max(timing.first, sum(run.seconds for run in runs))
        if stopped():
            break
    outcome = outcome_of(runs, judgement, slo)
    return Probe(rate, outcome, point_of(rate, runs, slo), judgement)


def outcome_of(runs: Sequence[Run], judgement: Judgement, slo: Slo) -> Outcome:
    """The verdict, unless the generator was at fault."""
    return judgement.verdict if all(is_sound(run, slo) for run in runs) else "invalid"


def point_of(rate: float, runs: Sequence[Run], slo: Slo) -> Point:
    """The figures of *runs* at *rate*, valid where they may be held to *slo*."""
    point = Point.of_runs("rate", rate, runs, slo=slo)
    if all(is_sound(run, slo) for run in runs):
        return msgspec.structs.replace(point, valid=True, reasons=())
    return point
