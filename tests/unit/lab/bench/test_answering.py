# SPDX-License-Identifier: Apache-2.0
"""Questions to servers in virtual time, and the reports that answer them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.lab import LabError
from gateway.lab.account.account import Account, account
from gateway.lab.bench.answering import Answering
from gateway.lab.bench.questions import Questions, Sweep
from gateway.lab.load.run import Plan, Run
from gateway.lab.report.document import Report
from gateway.lab.search.slo import Slo
from tests.support.md1 import Md1, capacity
from tests.support.runs import run_of

SLO = Slo.parse("p99=20ms")
OPEN = Plan(url="http://a", model="m", rate=500.0, duration=10.0)
CLOSED = Plan(url="http://a", model="m", schedule="closed", concurrency=4, duration=10.0)


class Watched:
    """Knows of no process and no metric."""

    async def account(self, run: Run) -> Account:
        """What the run itself says."""
        return account(run, metrics=None, uses=[], machine=None)


class Servers:
    """A load generator for servers of 1 ms a request, slower ones by their URL."""

    def __init__(self, **services: float) -> None:
        self.services = services
        self.plans: list[Plan] = []

    async def __call__(self, plan: Plan, /) -> Run:
        """A run of the server at the plan's URL."""
        self.plans.append(plan)
        server = Md1(self.services.get(plan.url.removeprefix("http://"), 0.001))
        # In a closed loop the server is always busy, and answers as fast as it can.
        rate = plan.rate if plan.is_open else 0.8 / server.service
        run = await server(rate, plan.duration, plan.seed)
        run.plan = plan
        return run


async def ask(
    plan: Plan, load: Servers, stored: Report | None = None, **asked: Any
) -> tuple[Report, list[str]]:
    """The report, and what was said of its steps."""
    steps: list[str] = []
    questions = Questions(**asked)
    questions.check(plan)

    async def rows(size: float) -> int:
        return int(size // 256)

    async def watch(_: Plan) -> Watched:
        return Watched()

    answering = Answering(plan, questions, load, payload_rows=rows, watch=watch, step=steps.append)
    return await answering.report(stored), steps


async def test_a_plain_test_is_one_run_accounted_for() -> None:
    """With where the time goes, and no verdict of an SLO that nobody asked for."""
    report, steps = await ask(OPEN, Servers())
    assert (report.kind, len(report.runs), steps) == ("load test", 1, ["run"])
    assert report.account is not None
    assert report.account.spans[0].name == "server"
    assert report.held is None
    assert report.passed


async def test_repeats_draw_other_arrivals() -> None:
    """Each its own seed."""
    report, _ = await ask(OPEN, Servers(), repeats=3)
    assert [run.plan.seed for run in report.runs] == [1, 2, 3]


@pytest.mark.parametrize(("rate", "verdict"), [(500.0, "pass"), (1100.0, "fail")])
async def test_a_rate_is_held_to_an_slo(rate: float, verdict: str) -> None:
    """Proven either way."""
    plan = msgspec.structs.replace(OPEN, rate=rate)
    report, _ = await ask(plan, Servers(), slo=SLO)
    assert report.held is not None
    assert report.held.judgement is not None
    assert report.held.judgement.verdict == verdict
    assert report.passed is (verdict == "pass")


async def test_a_closed_loop_refuses_a_verdict() -> None:
    """It waits for its server, whatever the server does."""
    report, _ = await ask(CLOSED, Servers(), slo=SLO)
    assert report.held is not None
    assert report.held.judgement is None
    assert "a closed loop says nothing of an SLO" in report.held.reason
    assert not report.passed


async def test_a_run_that_is_not_valid_is_not_judged() -> None:
    """The generator may have been late, or early."""

    class Late(Servers):
        async def __call__(self, plan: Plan, /) -> Run:
            run = await super().__call__(plan)
            run.valid, run.reasons = False, ["late"]
            run.lag.record_seconds(0.01, 100)
            return run

    report, _ = await ask(OPEN, Late(), slo=SLO)
    assert report.held is not None
    assert report.held.judgement is None
    assert report.verdict == "INVALID"


async def test_the_limit_is_found_from_a_scouted_peak_and_shown() -> None:
    """The scout is a closed loop, the last run is at the limit, and overload is tried beyond."""
    load = Servers()
    report, steps = await ask(
        OPEN, load, slo=SLO, seeks_limit=True, scenario="overload", longest_probe=80.0
    )
    assert load.plans[0].schedule == "closed"
    assert load.plans[1].rate == pytest.approx(80, rel=0.05)
    assert report.limit is not None
    assert report.limit.rate == pytest.approx(capacity(0.001, 0.02, 0.99), rel=0.08)
    assert report.runs[0].plan.rate == report.limit.rate
    assert report.knees is not None
    assert report.knees.within is not None
    assert report.overload is not None
    assert load.plans[-1].rate == pytest.approx(1.5 * report.limit.rate)
    # A queue without a bound: what is offered beyond comes too late.
    assert not report.passed
    assert steps[0] == "scouting"


async def test_a_server_that_answers_nothing_has_no_limit() -> None:
    """Said at once, and not after a search."""

    class Silent(Servers):
        async def __call__(self, plan: Plan, /) -> Run:
            return run_of([[]], errors=[7])

    with pytest.raises(LabError, match=r"no request of 7 was answered with success \(shed 7\)"):
        await ask(OPEN, Silent(), slo=SLO, seeks_limit=True)


@pytest.mark.parametrize(
    ("plan", "name", "field", "values", "found"),
    [
        (OPEN, "rate", "rate", (100.0, 200.0), [100.0, 200.0]),
        (CLOSED, "concurrency", "concurrency", (1.0, 8.0), [1, 8]),
        (OPEN, "batch", "batch", (1.0, 8.0), [1, 8]),
        (OPEN, "payload", "batch", (256.0, 1024.0), [1, 4]),
    ],
)
async def test_a_sweep_changes_one_setting(
    plan: Plan, name: Any, field: str, values: tuple[float, ...], found: list[float]
) -> None:
    """And no other."""
    load = Servers()
    report, _ = await ask(plan, load, sweep=Sweep(name, values))
    assert [getattr(one, field) for one in load.plans] == found
    assert report.sweep is not None
    assert [one.value for one in report.sweep.points] == list(values)


async def test_two_deployments_see_the_same_arrivals() -> None:
    """By turns; the slower one is told."""
    load = Servers(b=0.0013)
    report, _ = await ask(OPEN, load, against="http://b", rounds=3)
    assert [(one.url[-1], one.seed) for one in load.plans] == [
        ("a", 1), ("b", 1), ("b", 2), ("a", 2), ("a", 3), ("b", 3),
    ]  # fmt: skip
    assert report.comparison is not None
    assert report.comparison.sentence.startswith("http://b, beside http://a: p50 is ")
    assert report.passed


async def test_a_baseline_holds_what_became_slower() -> None:
    """By its runs; one that has none is refused."""
    before, _ = await ask(OPEN, Servers(), repeats=3)
    same, _ = await ask(OPEN, Servers(), before, baseline="before", repeats=3)
    slower, _ = await ask(OPEN, Servers(a=0.0014), before, baseline="before", repeats=3)
    assert same.passed
    assert not slower.passed
    with pytest.raises(LabError, match="baseline x holds no run"):
        await ask(OPEN, Servers(), Report(), baseline="x")


async def test_a_burst_is_followed_until_it_has_passed() -> None:
    """A run of its own, long enough to see it."""
    plan = msgspec.structs.replace(OPEN, rate=300.0, duration=8.0, burst_seconds=4.0)
    report, _ = await ask(plan, Servers(), scenario="burst", slo=SLO)
    assert report.kind == "burst"
    assert report.runs[0].plan.schedule == "burst"
    assert report.burst is not None
    assert report.burst.recovery == 0
