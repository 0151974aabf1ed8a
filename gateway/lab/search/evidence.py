# SPDX-License-Identifier: Apache-2.0
"""Evidence: what the requests of a probe say about an SLO, counted in windows of time.

A percentile is within its bound when few enough requests are beyond it, so each condition of an
SLO is a share of misses. Requests that queue are slow together, so counts are taken as so many
independent ones as they are worth, and the spread between windows must agree with the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Self

import msgspec
import numpy as np

from gateway.lab.load.run import Run
from gateway.lab.search.slo import Slo
from gateway.statistics.arrays import Floats
from gateway.statistics.dependence import batches, design_effect, share_interval
from gateway.statistics.tails import fail_chance, pass_chance

Verdict = Literal["pass", "fail", "undecided"]

# With fewer windows their spread says too little of how alike neighbours are.
_LEAST_WINDOWS: Final = 4


@dataclass(slots=True)
class Evidence:
    """Windows [w] of equal length: requests, failures, misses of each bound [w, bounds].

    *sums* and *squares* are of response times in seconds, cut at the SLO's longest bound: beyond
    it nothing more depends on how long they are.
    """

    requests: Floats
    failures: Floats
    misses: Floats
    sums: Floats
    squares: Floats

    @classmethod
    def none(cls, slo: Slo) -> Self:
        """No window yet."""
        empty = np.zeros(0)
        return cls(empty, empty, np.zeros((0, len(slo.bounds))), empty, empty)

    @classmethod
    def of_run(cls, run: Run, slo: Slo) -> Self:
        """The seconds of *run*, whose timeout must be longer than any bound of *slo*."""
        within = slo.within
        rows = []
        for second in run.timeline:
            if not second.offered:
                continue
            total, squares = second.response.moments(within)
            lost = max(0, second.offered - len(second.response))
            total += within * lost
            squares += within**2 * lost
            missed = [
                second.offered - len(second.response) + second.response.above(bound.seconds)
                for bound in slo.bounds
            ]
            rows.append([second.offered, second.errors, total, squares, *missed])
        table = np.asarray(rows, dtype=float).reshape(len(rows), 4 + len(slo.bounds))
        return cls(table[:, 0], table[:, 1], table[:, 4:], table[:, 2], table[:, 3])

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(
            np.concatenate([self.requests, other.requests]),
            np.concatenate([self.failures, other.failures]),
            np.concatenate([self.misses, other.misses]),
            np.concatenate([self.sums, other.sums]),
            np.concatenate([self.squares, other.squares]),
        )

    @property
    def total(self) -> int:
        """All requests."""
        return int(self.requests.sum())


class Condition(msgspec.Struct, frozen=True):
    """One condition of an SLO: at most *allowed* of the *requests* may be misses.

    *worth* is how many of the requests say as much as one independent one.
    """

    name: str
    allowed: float
    requests: int
    misses: int
    worth: float
    verdict: Verdict

    @property
    def share(self) -> float:
        """Of misses."""
        return self.misses / self.requests if self.requests else 0.0

    @property
    def met(self) -> bool:
        """Whether it holds as counted, proven or not."""
        return self.share <= self.allowed


class Judgement(msgspec.Struct, frozen=True):
    """What evidence says of an SLO at *confidence*: all conditions proven, one refuted, or neither.

    *confidence* is that of this look alone.
    """

    verdict: Verdict
    conditions: tuple[Condition, ...]
    confidence: float

    @property
    def met(self) -> bool:
        """Whether every condition holds as counted, proven or not."""
        return all(one.met for one in self.conditions)

    @property
    def reason(self) -> str:
        """The condition that decides, in words."""
        worst = max(self.conditions, key=lambda one: one.share / one.allowed)
        refuted = [one for one in self.conditions if one.verdict == "fail"]
        one = refuted[0] if refuted else worst
        return (
            f"{one.name}: {one.misses} of {one.requests} requests miss it, "
            f"{one.share * 100:.3g} % where {one.allowed * 100:.3g} % may"
        )


def judge(evidence: Evidence, slo: Slo, *, confidence: float) -> Judgement:
    """Whether *slo* is kept, with an error of either kind of at most 1 - *confidence*.

    For a pass every condition must be proven, each at *confidence*: one that is broken is enough
    to be found out. For a failure one is enough, so they share the error between them.
    """
    chance = 1 - confidence
    columns = [(str(bound), 1 - bound.share, evidence.misses[:, place])
               for place, bound in enumerate(slo.bounds)]  # fmt: skip
    if slo.errors is not None:
        columns.append((f"errors <= {slo.errors * 100:.6g} %", slo.errors, evidence.failures))
    found = tuple(
        _condition(
            name,
            misses,
            evidence,
            allowed=allowed,
            to_pass=chance,
            to_fail=chance / len(columns),
        )
        for name, allowed, misses in columns
    )
    verdicts = {one.verdict for one in found}
    verdict: Verdict = "undecided"
    if "fail" in verdicts:
        verdict = "fail"
    elif verdicts == {"pass"}:
        verdict = "pass"
    return Judgement(verdict, found, confidence)


def _condition(
    name: str, misses: Floats, evidence: Evidence, *, allowed: float, to_pass: float, to_fail: float
) -> Condition:
    parts = batches(np.stack([misses, evidence.requests, evidence.sums, evidence.squares], axis=1))
    missed, requests, sums, squares = parts.T
    total, count = float(requests.sum()), float(missed.sum())
    worth = max(
        design_effect(sums, squares, requests),
        # Of misses, which are 0 or 1 and so their own squares.
        design_effect(missed, missed, requests),
    )
    verdict: Verdict = "undecided"
    if len(parts) >= _LEAST_WINDOWS:
        hits = (total - count) / worth
        if pass_chance(hits, count / worth, 1 - allowed) <= to_pass:
            spread = share_interval(missed, requests, level=1 - 2 * to_pass)
            verdict = "pass" if spread.upper <= allowed else verdict
        elif fail_chance(hits, count / worth, 1 - allowed) <= to_fail:
            spread = share_interval(missed, requests, level=1 - 2 * to_fail)
            verdict = "fail" if spread.lower >= allowed else verdict
    return Condition(name, allowed, int(total), int(count), worth, verdict)
