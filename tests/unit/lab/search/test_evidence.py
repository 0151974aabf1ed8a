# SPDX-License-Identifier: Apache-2.0
"""What the requests of a probe prove."""

from __future__ import annotations

import pytest

from gateway.lab.search.evidence import Evidence, Verdict, judge
from gateway.lab.search.slo import Slo
from tests.support.md1 import Md1, capacity
from tests.support.runs import run_of

SLO = Slo.parse("p99=20ms,errors=1%")
FAST, SLOW = [0.001] * 100, [0.5] * 100


def test_counts_what_is_beyond_and_what_failed() -> None:
    """A request without an answer misses every bound, and an error is one."""
    found = Evidence.of_run(run_of([[0.001, 0.03], [0.02]], errors=[0, 2]), SLO)
    assert found.requests.tolist() == [2, 3]
    assert found.failures.tolist() == [0, 2]
    assert found.misses.tolist() == [[1], [2]]
    # Cut at the bound; a request that failed took at least as long.
    assert found.sums.tolist() == pytest.approx([0.021, 0.06], rel=1e-3)


def test_passes_what_459_requests_without_a_miss_prove() -> None:
    """And not one fewer: the total of early stopping at 99 %."""
    enough = [FAST] * 4 + [[0.001] * 59]
    short = [FAST] * 4 + [[0.001] * 58]
    slo = Slo.parse("p99=20ms")
    assert judge(Evidence.of_run(run_of(enough), slo), slo, confidence=0.99).verdict == "pass"
    assert judge(Evidence.of_run(run_of(short), slo), slo, confidence=0.99).verdict == "undecided"


def test_fails_what_one_condition_refutes() -> None:
    """Errors alone are enough, and the reason names them."""
    found = judge(Evidence.of_run(run_of([FAST] * 10, errors=[10] * 10), SLO), SLO, confidence=0.99)
    assert found.verdict == "fail"
    assert not found.met
    errors = found.conditions[1]
    assert (errors.name, errors.misses, errors.verdict) == ("errors <= 1 %", 100, "fail")


def test_does_not_take_one_bad_second_for_many_bad_requests() -> None:
    """A hundred misses in one of ten seconds are one event: neither proven nor refuted."""
    found = judge(Evidence.of_run(run_of([*([FAST] * 9), SLOW]), SLO), SLO, confidence=0.99)
    assert found.conditions[0].worth > 10
    assert found.verdict == "undecided"


def test_three_seconds_prove_nothing() -> None:
    """Their spread is not known, however many requests they hold."""
    found = judge(Evidence.of_run(run_of([[0.001] * 2000] * 3), SLO), SLO, confidence=0.99)
    assert found.verdict == "undecided"


@pytest.mark.parametrize(("factor", "wrong"), [(1.005, "pass"), (0.995, "fail")])
async def test_errs_as_rarely_as_it_says(factor: float, wrong: Verdict) -> None:
    """Just beyond and just below the capacity of a queue, where requests are slow together."""
    server, slo = Md1(0.001), Slo.parse("p99=20ms")
    rate = capacity(0.001, 0.02, 0.99) * factor
    verdicts = []
    for seed in range(60):
        run = await server(rate, 40, seed)
        verdicts.append(judge(Evidence.of_run(run, slo), slo, confidence=0.99).verdict)
    # 0.6 are expected at the most; four and more would come in less than one of 200 tries.
    assert verdicts.count(wrong) <= 3
