# SPDX-License-Identifier: Apache-2.0
"""Limit: the highest rate at which an SLO is kept, found by probes and confirmed by more.

First the rate is raised by a factor until the SLO breaks and goodput stops rising, then the gap is
halved until it is as small as asked, then the winner is run again, since a winner was lucky more
often than not. After the server scenario of MLPerf inference, whose winner is run five times.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Literal

import msgspec

from gateway.lab.load.run import Run
from gateway.lab.search.crossing import crossing
from gateway.lab.search.evidence import Evidence, Judgement, judge
from gateway.lab.search.point import Point
from gateway.lab.search.probe import Probe, Prober, Timing, outcome_of, point_of, probe
from gateway.lab.search.slo import Slo

# Why the search ended: the gap is as small as asked; the generator, not the server, was at its end;
# no more probes were allowed; no rate keeps the SLO; a person ended it.
Ending = Literal["resolved", "generator", "probes", "nothing", "stopped"]


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """How to search."""

    # Requests a second of the first probe.
    start: float
    confidence: float = 0.99
    # Each probe of the sweep has so many times the rate of the last.
    growth: float = 1.5
    # The search ends when the gap between a pass and a failure is this share of the rate.
    resolution: float = 0.02
    timing: Timing = Timing()
    # How often the winner is run again.
    confirmations: int = 5
    # More than any search needs whose start is within a factor of 100 of the limit.
    most_probes: int = 40
    # The sweep goes on until goodput rises by less than this share.
    flat: float = 0.05
    seed: int = 1


class Confirmation(msgspec.Struct, frozen=True):
    """The winner, or one that was taken for it, run again and again."""

    rate: float
    points: tuple[Point, ...]
    judgement: Judgement
    confirmed: bool
    reason: str


class Limit(msgspec.Struct, kw_only=True):
    """What was found. *rate* is the highest confirmed one, 0 where there is none.

    *upper* is the lowest rate that is proven to be too high, None where none was reached.
    """

    slo: Slo
    method: Method
    rate: float = 0.0
    upper: float | None = None
    # Where the SLO breaks, as all probes say together: near the truth, and not proven.
    estimate: float | None = None
    ending: Ending = "resolved"
    probes: list[Probe] = []
    confirmations: list[Confirmation] = []
    # Answers a second at the most, whatever the SLO.
    peak: float = 0.0

    @property
    def confirmed(self) -> Confirmation | None:
        """That of *rate*."""
        return next((one for one in self.confirmations if one.confirmed), None)

    @property
    def operating(self) -> tuple[float, float]:
        """The rates to plan with: they leave room for bursts and for a server that is lost."""
        return 0.7 * self.rate, 0.8 * self.rate

    def waiting(self, rate: float) -> float | None:
        """How long requests wait at *rate*, as a share of what they wait at the limit.

        Waits grow as u / (1 - u) with the utilisation u in any queue of the kind M/G/1 (Pollaczek
        and Khinchine); None where the peak is not known to be above the limit.
        """
        if not self.rate or self.peak <= self.rate:
            return None
        at, limit = rate / self.peak, self.rate / self.peak
        return (at / (1 - at)) / (limit / (1 - limit))


class Progress:
    """Told of every step of a search; does nothing."""

    def probing(self, rate: float, why: str) -> None:
        """A probe of *rate* begins."""

    def probed(self, found: Probe) -> None:
        """It ended."""

    def confirming(self, rate: float, number: int) -> None:
        """Confirmation *number* of *rate*, from 1, begins."""


async def find(
    prober: Prober,
    slo: Slo,
    method: Method,
    *,
    progress: Progress | None = None,
    on_run: Callable[[Run], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Limit:
    """Search the highest rate that keeps *slo*. *on_run* sees each run, *stopped* ends it early."""
    search = _Search(
        prober, slo, method, progress=progress or Progress(), on_run=on_run, stopped=stopped
    )
    await search.sweep()
    await search.bisect()
    await search.confirm()
    limit = search.limit
    probes = [(one.rate, one.judgement) for one in limit.probes if one.outcome != "invalid"]
    limit.estimate = crossing(
        [*probes, *((one.rate, one.judgement) for one in limit.confirmations)]
    )
    return limit


class _Search:
    def __init__(
        self,
        prober: Prober,
        slo: Slo,
        method: Method,
        *,
        progress: Progress,
        on_run: Callable[[Run], None] | None,
        stopped: Callable[[], bool],
    ) -> None:
        self.limit = Limit(slo=slo, method=method)
        self._prober = prober
        self._slo = slo
        self._method = method
        self._progress = progress
        self._on_run = on_run
        self._stopped = stopped

    def _over(self) -> bool:
        if self._stopped():
            self.limit.ending = "stopped"
        elif len(self.limit.probes) >= self._method.most_probes:
            self.limit.ending = "probes"
        return self.limit.ending in {"stopped", "probes"}

    @property
    def _lower(self) -> float:
        """The highest rate that passed below all that failed."""
        upper = self.limit.upper
        passed = [one.rate for one in self.limit.probes if one.outcome == "pass"]
        return max((rate for rate in passed if upper is None or rate < upper), default=0.0)

    async def _probe(self, rate: float, why: str) -> Probe:
        limit, method = self.limit, self._method
        self._progress.probing(rate, why)
        found = await probe(
            self._prober, rate, self._slo,
            confidence=method.confidence, timing=method.timing,
            # No two probes draw the same arrivals.
            seed=method.seed + 100 * len(limit.probes),
            on_run=self._on_run, stopped=self._stopped,
        )  # fmt: skip
        self._progress.probed(found)
        limit.probes.append(found)
        limit.peak = max(limit.peak, found.point.answered)
        if found.outcome == "fail":
            limit.upper = min(rate, limit.upper or rate)
        return found

    async def sweep(self) -> None:
        """Raise the rate until the SLO breaks and goodput stops rising; lower it where it must."""
        rate, best = self._method.start, 0.0
        while not self._over():
            found = await self._probe(rate, "sweep")
            goodput = found.point.goodput
            if found.outcome == "invalid":
                self.limit.ending = "generator"
                break
            if self.limit.upper is not None and goodput <= best * (1 + self._method.flat):
                break
            best = max(best, goodput)
            rate *= self._method.growth
        rate = self._method.start
        while not self._lower and not self._over():
            # Even the start is too much: down to a hundredth of it.
            rate /= self._method.growth
            if rate < self._method.start / 100:
                self.limit.ending = "nothing"
                break
            if (await self._probe(rate, "sweep down")).outcome == "invalid":
                self.limit.ending = "generator"
                break

    async def bisect(self) -> None:
        """Halve the gap, in the ratio of rates: first below all that is not proven to pass."""
        if not self._lower or self.limit.ending == "generator":
            return
        for edge in (self._lowest_unproven, self._lowest_failure):
            while not self._over():
                floor = self._lower if edge == self._lowest_unproven else self._highest_undecided()
                ceiling = edge()
                if ceiling is None or ceiling <= floor * (1 + self._method.resolution):
                    break
                await self._probe(sqrt(floor * ceiling), "bisection")

    def _lowest_unproven(self) -> float | None:
        """Above the highest pass."""
        return min((one.rate for one in self.limit.probes if one.rate > self._lower), default=None)

    def _lowest_failure(self) -> float | None:
        return self.limit.upper

    def _highest_undecided(self) -> float:
        """Below the lowest failure; the highest pass where nothing between is undecided."""
        upper = self.limit.upper
        rates = [
            one.rate for one in self.limit.probes
            if one.outcome == "undecided" and (upper is None or one.rate < upper)
        ]  # fmt: skip
        return max([*rates, self._lower])

    async def confirm(self) -> None:
        """Run the winner again; on a failure go down, in steps that double."""
        rate, step = self._lower, self._method.resolution
        while rate > 0 and self.limit.ending != "stopped":
            found = await self._confirm(rate)
            if found is None:
                self.limit.ending = "stopped"
                break
            self.limit.confirmations.append(found)
            if found.confirmed:
                self.limit.rate = rate
                break
            rate *= 1 - step
            step *= 2
            if step >= 1:
                self.limit.ending = "nothing"
                break

    async def _confirm(self, rate: float) -> Confirmation | None:
        """Each run must keep the SLO as counted, and all together must prove it."""
        method, slo = self._method, self._slo
        length = max(
            (one.point.seconds for one in self.limit.probes if one.outcome == "pass"),
            default=method.timing.first,
        )
        points: list[Point] = []
        evidence = Evidence.none(slo)
        reason = ""
        before = sum(len(one.points) for one in self.limit.confirmations)
        for number in range(method.confirmations):
            self._progress.confirming(rate, number + 1)
            run = await self._prober(rate, length, method.seed + 50_000 + before + number)
            if self._on_run is not None:
                self._on_run(run)
            if self._stopped():
                return None
            points.append(point_of(rate, [run], slo))
            alone = Evidence.of_run(run, slo)
            evidence += alone
            judged = judge(alone, slo, confidence=method.confidence)
            if outcome_of([run], judged, slo) == "invalid":
                reason = f"run {number + 1} is invalid: {'; '.join(run.reasons)}"
            elif not judged.met:
                reason = f"run {number + 1} breaks {judged.reason}"
            if reason:
                break
        together = judge(evidence, slo, confidence=method.confidence)
        if not reason and together.verdict != "pass":
            reason = f"all runs together do not prove it: {together.reason}"
        return Confirmation(rate, tuple(points), together, not reason, reason)
