# SPDX-License-Identifier: Apache-2.0
"""From samples to figures: medians over the rounds, ratios within a round, verdicts."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from benchmarks.plan import (
    SOAK_GROWTH_MIB,
    SOAK_MIB,
    SOAK_REQUESTS,
    STARTUP_SECONDS,
    TARGETS,
    Metric,
    Target,
)


@dataclass(frozen=True)
class Sample:
    """What one contender did in one case of one round.

    *rate* is in answers a second, *cpu_ms* in CPU milliseconds of the server's process tree an
    answer (the same number as CPU seconds a thousand), *rss_mib* the resident memory of that tree;
    *foreign* is the share of the machine that neither the server nor its clients used.
    """

    round: int
    case: str
    contender: str
    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_ms: float
    rss_mib: float
    foreign: float


@dataclass(frozen=True)
class Spread:
    """The median of some figures, and the ends between which they lie."""

    median: float
    low: float
    high: float

    @classmethod
    def over(cls, figures: Iterable[float]) -> Self:
        """The spread of one figure or more."""
        found = list(figures)
        return cls(statistics.median(found), min(found), max(found))


@dataclass(frozen=True)
class Verdict:
    """What was aimed at, what came out, and whether that is enough."""

    about: str
    aim: str
    figure: Spread
    met: bool


@dataclass(frozen=True)
class Soak:
    """Memory of one gateway process after so many requests."""

    requests: int
    rss_mib: float


def ratios(samples: Sequence[Sample], target: Target) -> Spread | None:
    """The target's ratio in each round that has both sides; None where no round has.

    Both sides of a ratio come from one round: what slows the machine then slows both.
    """
    found = {
        (sample.round, sample.contender): sample for sample in samples if sample.case == target.case
    }
    values = [
        _metric(sample, target.subject[1])
        / _metric(found[number, target.rival[0]], target.rival[1])
        for (number, contender), sample in found.items()
        if contender == target.subject[0] and (number, target.rival[0]) in found
    ]
    return Spread.over(values) if values else None


def verdicts(
    samples: Sequence[Sample], startup: Sequence[float], soak: Sequence[Soak]
) -> list[Verdict]:
    """Judge every target for which there are figures."""
    found = []
    for target in TARGETS:
        spread = ratios(samples, target)
        if spread is not None:
            aim = f"{target.relation} {target.bound:g}"
            found.append(Verdict(target.about, aim, spread, target.met(spread.median)))
    if startup:
        spread = Spread.over(startup)
        met = spread.median <= STARTUP_SECONDS
        aim = f"at most {STARTUP_SECONDS:g}"
        found.append(Verdict("startup: seconds from serve to both models ready", aim, spread, met))
    if soak:
        found += _soaked(soak)
    return found


def _soaked(soak: Sequence[Soak]) -> list[Verdict]:
    """The size at the end, and what the second half of the requests added to it.

    Fewer requests than aimed at prove nothing, so they are not enough.
    """
    end, half = soak[-1], soak[(len(soak) - 1) // 2]
    enough = end.requests >= SOAK_REQUESTS
    growth = end.rss_mib - half.rss_mib
    name = f"soak: MiB of one gateway process after {end.requests:,} requests"
    added = f"soak: MiB added from {half.requests:,} requests on"
    return [
        Verdict(
            name,
            f"at most {SOAK_MIB:g}",
            Spread.over([end.rss_mib]),
            enough and end.rss_mib <= SOAK_MIB,
        ),
        Verdict(
            added,
            f"at most {SOAK_GROWTH_MIB:g}",
            Spread.over([growth]),
            enough and growth <= SOAK_GROWTH_MIB,
        ),
    ]


def _metric(sample: Sample, metric: Metric) -> float:
    value: float = getattr(sample, metric)
    return value
