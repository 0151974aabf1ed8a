# SPDX-License-Identifier: Apache-2.0
"""Answering: the runs that a set of questions takes, and the report of what they say."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec

from gateway import __version__
from gateway.lab import LabError
from gateway.lab.account.account import Account
from gateway.lab.bench.questions import Questions
from gateway.lab.load.run import Plan, Run
from gateway.lab.report.document import Held, Report, Sweep
from gateway.lab.search.against import compare
from gateway.lab.search.evidence import Evidence, judge
from gateway.lab.search.gate import check
from gateway.lab.search.knee import knees
from gateway.lab.search.limit import Limit, Method, Progress, find
from gateway.lab.search.point import Point
from gateway.lab.search.probe import Timing, is_sound
from gateway.lab.search.scenarios import OVERLOAD, burst, burst_plan, overload

# The rate that a server gives to so many clients in so many seconds is near its peak, and the
# search begins at a tenth of it.
_SCOUTS: Final = 32
_SCOUTING: Final = 3.0
_START: Final = 0.1


class Loader(Protocol):
    """What carries out a plan: the load generator, or one in virtual time."""

    def __call__(self, plan: Plan, /) -> Awaitable[Run]:
        """What it measured."""
        ...


class Watching(Protocol):
    """What has looked at a server before a run."""

    async def account(self, run: Run) -> Account:
        """Look again, and account for *run*."""
        ...


class Answering:
    """Asks *questions* of the deployment in *plan* with *load*.

    *payload_rows* says how many rows of the model make so many bytes, *watch* looks at the server
    before a run that is to be accounted for; *stopped* that a person
    wants no more, after which what was measured is reported. *progress* follows a search, and
    *step* is told in words what begins.
    """

    def __init__(
        self,
        plan: Plan,
        questions: Questions,
        load: Loader,
        *,
        payload_rows: Callable[[float], Awaitable[int]],
        watch: Callable[[Plan], Awaitable[Watching]],
        stopped: Callable[[], bool] = lambda: False,
        progress: Progress | None = None,
        step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._plan = plan
        self._questions = questions
        self._load = load
        self._payload_rows = payload_rows
        self._watch = watch
        self._stopped = stopped
        self._progress = progress
        self._step = step

    def __repr__(self) -> str:
        return f"<Answering {self._plan.model} at {self._plan.url}>"

    async def report(self, baseline: Report | None = None) -> Report:
        """Everything that was asked; *baseline* is the stored result to be held to."""
        asked = self._questions
        report = Report(made=time.time(), version=__version__)
        if baseline is not None and not baseline.runs:
            raise LabError(f"baseline {asked.baseline} holds no run at one load: expected one")
        if asked.seeks_limit:
            await self._limit(report)
        elif asked.sweep is not None:
            await self._sweep(report)
        elif asked.against:
            await self._against(report)
        elif asked.scenario is None:
            await self._runs(report, self._plan)
        if asked.scenario == "overload":
            await self._overload(report)
        elif asked.scenario == "burst":
            await self._burst(report)
        if asked.slo is not None and report.runs and not asked.seeks_limit:
            report.held = held(report, asked)
        if baseline is not None and report.runs:
            report.gate = check(
                report.runs, baseline.runs,
                baseline=asked.baseline, tolerance=asked.tolerance, level=asked.level,
            )  # fmt: skip
        return report

    async def _runs(self, report: Report, plan: Plan) -> None:
        """As many as there are repeats, accounted for together with the last."""
        count = 1 if plan is not self._plan else self._questions.repeats
        for number in range(count):
            self._step(f"run {number + 1} of {count}" if count > 1 else "run")
            watch = await self._watch(plan)
            run = await self._load(msgspec.structs.replace(plan, seed=plan.seed + number))
            report.account = await watch.account(run)
            report.runs.append(run)
            if self._stopped():
                break

    async def _limit(self, report: Report) -> None:
        asked, plan = self._questions, self._plan
        slo = asked.slo
        if slo is None:
            raise LabError("expected --slo to search the highest rate")
        report.kind = "limit"
        self._step("scouting")
        scouted = await self._load(
            msgspec.structs.replace(
                plan,
                schedule="closed",
                concurrency=min(_SCOUTS, plan.connection_limit),
                rate=0.0,
                duration=_SCOUTING,
            )
        )
        if not scouted.ok:
            raise LabError(
                f"no request of {scouted.offered} was answered with success "
                f"({', '.join(f'{kind} {count}' for kind, count in scouted.errors.items())}): "
                "expected a server that answers some"
            )

        async def probe(rate: float, seconds: float, seed: int) -> Run:
            return await self._load(
                msgspec.structs.replace(plan, rate=rate, duration=seconds, seed=seed)
            )

        first = min(Timing().first, asked.longest_probe)
        method = Method(
            start=_START * scouted.throughput, confidence=asked.confidence,
            timing=Timing(first, asked.longest_probe), resolution=asked.resolution, seed=plan.seed,
        )  # fmt: skip
        limit = await find(probe, slo, method, progress=self._progress, stopped=self._stopped)
        report.limit = limit
        report.knees = knees(
            [one.point for one in limit.probes if one.outcome != "invalid"],
            passed=[one.rate for one in limit.probes if one.outcome == "pass"],
        )
        if limit.rate and not self._stopped():
            # What the rest of the report shows is the server at its limit.
            await self._runs(report, msgspec.structs.replace(plan, rate=limit.rate))

    async def _sweep(self, report: Report) -> None:
        sweep = self._questions.sweep
        if sweep is None:
            return
        report.kind = "sweep"
        points: list[Point] = []
        for value in sweep.values:
            self._step(f"{sweep.name} {value:g}")
            run = await self._load(await self._at(sweep.name, value))
            points.append(Point.of_runs(sweep.name, value, [run], slo=self._questions.slo))
            if self._stopped():
                break
        report.sweep = Sweep(sweep.name, tuple(points))
        if sweep.name in {"rate", "concurrency"}:
            report.knees = knees(points)

    async def _at(self, name: str, value: float) -> Plan:
        replace = msgspec.structs.replace
        if name == "rate":
            return replace(self._plan, rate=value)
        if name == "concurrency":
            return replace(self._plan, concurrency=int(value))
        rows = int(value) if name == "batch" else await self._payload_rows(value)
        return replace(self._plan, batch=rows)

    async def _against(self, report: Report) -> None:
        asked, plan = self._questions, self._plan
        report.kind = "comparison"

        def at(url: str) -> Callable[[int], Awaitable[Run]]:
            async def measure(number: int) -> Run:
                self._step(f"round {number + 1} of {asked.rounds}: {url}")
                # Both see the same arrivals in a round, and other ones in the next.
                return await self._load(
                    msgspec.structs.replace(plan, url=url, seed=plan.seed + number)
                )

            return measure

        report.comparison = await compare(
            (plan.url, at(plan.url)), (asked.against, at(asked.against)),
            rounds=asked.rounds, level=asked.level, stopped=self._stopped,
        )  # fmt: skip

    async def _overload(self, report: Report) -> None:
        slo = self._questions.slo
        rate = self._plan.rate if report.limit is None else report.limit.rate
        if slo is None or not rate or self._stopped():
            return
        if report.limit is None:
            report.kind = "overload"
            await self._runs(report, self._plan)
        at_limit = report.runs[-1]
        self._step(f"overload, {OVERLOAD:g} x {rate:.0f}/s")
        beyond = await self._load(msgspec.structs.replace(self._plan, rate=OVERLOAD * rate))
        report.overload = overload(at_limit, beyond, slo)

    async def _burst(self, report: Report) -> None:
        limit: Limit | None = report.limit
        rate = self._plan.rate if limit is None else limit.operating[1]
        if not rate or self._stopped():
            return
        self._step(f"burst from {rate:.0f}/s")
        plan = burst_plan(msgspec.structs.replace(self._plan, rate=rate))
        if limit is None:
            report.kind = "burst"
            await self._runs(report, plan)
            report.burst = burst(report.runs[-1], self._questions.slo)
        else:
            report.burst = burst(await self._load(plan), self._questions.slo)


def held(report: Report, asked: Questions) -> Held | None:
    """What the runs of *report* say of the SLO: nothing in a closed loop, or with a burst in it."""
    slo = asked.slo
    if slo is None:
        return None
    plan = report.runs[0].plan
    if not plan.is_open:
        return Held(
            slo, None,
            "a closed loop says nothing of an SLO, as it waits for its server: expected --rate",
        )  # fmt: skip
    if not all(is_sound(run, slo) for run in report.runs):
        return Held(slo, None, "a run that is not valid says nothing of it")
    evidence = Evidence.none(slo)
    for run in report.runs:
        evidence += Evidence.of_run(run, slo)
    return Held(slo, judge(evidence, slo, confidence=asked.confidence))
