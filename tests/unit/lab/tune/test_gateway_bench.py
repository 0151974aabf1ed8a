# SPDX-License-Identifier: Apache-2.0
"""Rate after rate: what a setting is said to carry."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gateway.lab import LabError
from gateway.lab.gate import Answers
from gateway.lab.load.run import Plan, Run
from gateway.lab.search.slo import Slo
from gateway.lab.tune.document import Document
from gateway.lab.tune.gateway_bench import GatewayBench, Pace
from gateway.lab.tune.measured import Measured, Objective, Report
from gateway.lab.tune.setting import Setting

CAPACITY = 1000.0


def _run(rate: float, *, latency: float, failed: int = 0) -> Run:
    """One second at *rate* with answers after *latency* seconds, of which *failed* are none."""
    run = Run(plan=Plan(url="", model="m", rate=rate), seconds=1.0)
    run.offered = run.sent = round(rate)
    run.ok = run.offered - failed
    run.answered = run.offered
    if failed:
        run.errors = {"server_error": failed}
    run.response.record(np.full(run.ok, int(latency * 1e9), dtype=np.int64))
    return run


class _Loaded(GatewayBench):
    """The SLO of 20 ms is kept up to *limit* requests a second; *rates* are those asked for."""

    def __init__(self, limit: float, *, answers: bool = True) -> None:
        super().__init__(
            Document.of_model("m", "m"), Objective(slo=Slo.parse("p99=20ms")), Pace(),
            start=Setting(), models={}, dataset=SimpleNamespace(labels=np.zeros(1)),  # type: ignore[arg-type]
            labelled=True, data="", margin=0.01, alpha=0.05,
        )  # fmt: skip
        self.rates: list[float] = []
        self._limit = limit
        self._alive = answers

    async def _run(self, url: str, *, rate: float) -> Run:
        self.rates.append(rate)
        if not rate:
            return _run(CAPACITY, latency=0.03, failed=0 if self._alive else round(CAPACITY))
        return _run(rate, latency=0.01 if rate <= self._limit else 0.05)

    async def tried(self, report: Report | None = None) -> Measured:
        """What is said of it."""
        gateway: Any = SimpleNamespace(url="", memory=77)
        return await self._loaded(gateway, Measured(accuracy=0.9), report)


@pytest.mark.parametrize(
    ("limit", "throughput", "rates"),
    [
        (950, 900, [0, 500, 650, 800, 900]),
        (700, 650, [0, 500, 650, 800]),
        (300, 250, [0, 500, 250]),
        (100, 0, [0, 500, 250]),
    ],
)
async def test_the_highest_rate_that_keeps_the_objective_counts(
    limit: float, throughput: float, rates: list[float]
) -> None:
    """Upwards until it breaks; downwards once where the first breaks it."""
    bench = _Loaded(limit)
    found = await bench.tried()

    assert bench.rates == pytest.approx(rates)
    assert found.throughput == throughput
    assert found.latency == pytest.approx(0.01 if throughput else 0.05, rel=0.01)
    assert (found.memory, found.capacity, found.accuracy) == (77, CAPACITY, 0.9)
    assert len(found.windows) == len(rates) - 1


async def test_whoever_is_told_may_end_it_early() -> None:
    """What was reached until then stays; the last window ends by itself."""
    bench = _Loaded(950)
    seen: list[tuple[int, float]] = []

    def report(step: int, goodput: float) -> bool:
        seen.append((step, goodput))
        return step < 1

    found = await bench.tried(report)

    assert seen == [(0, 500.0), (1, 650.0)]
    assert (found.pruned, found.throughput) == (True, 650)
    assert not (await _Loaded(950).tried(lambda step, _: step < 3)).pruned


class _Failing(_Loaded):
    """The first *failures* tries fail."""

    def __init__(self, failures: int, *, first: bool = False) -> None:
        super().__init__(950)
        self._left = failures
        self._reference = None if first else Answers(np.zeros(1))

    async def _once(self, setting: Setting, report: Report | None) -> Measured:
        self._left -= 1
        if self._left >= 0:
            raise LabError("answered 503: overloaded")
        return Measured(throughput=5.0)


def test_what_fails_once_is_tried_again() -> None:
    """What fails again does not end a search, but has no figures."""
    with _Failing(1) as bench:
        assert bench.measure(Setting()).throughput == 5.0
    with _Failing(2) as bench:
        found = bench.measure(Setting())
        assert (found.failed, found.throughput) == ("answered 503: overloaded", 0)
        assert not found.feasible(Objective(slo=Slo.parse("p99=20ms")))


def test_where_the_first_one_fails_there_is_nothing_to_search() -> None:
    """Its words are the answer."""
    with _Failing(2, first=True) as bench, pytest.raises(LabError, match="answered 503"):
        bench.measure(Setting())


async def test_a_gateway_that_answers_nothing_carries_nothing() -> None:
    """No rate is tried then."""
    bench = _Loaded(950, answers=False)
    found = await bench.tried()

    assert (found.throughput, found.memory, bench.rates) == (0, 77, [0])


@pytest.mark.parametrize(
    ("slo", "failed", "met"),
    [
        ("p99=20ms", 0, True),
        ("p99=5ms", 0, False),
        ("p99=20ms,errors=5%", 11, False),
        ("p50=20ms,errors=5%", 11, True),
        ("p50=20ms,errors=1%", 11, False),
        ("p50=20ms", 11, False),
    ],
)
def test_what_fails_is_within_no_bound(slo: str, failed: int, met: bool) -> None:  # noqa: FBT001
    """An error is as bad as a late answer, and has a bound of its own."""
    assert Objective(slo=Slo.parse(slo)).met(_run(1000, latency=0.01, failed=failed)) is met
    assert not Objective(slo=Slo.parse(slo)).met(Run(plan=Plan(url="", model="m")))
