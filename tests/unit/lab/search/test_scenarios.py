# SPDX-License-Identifier: Apache-2.0
"""Beyond the limit, and after a burst."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.lab import LabError
from gateway.lab.load.run import Plan
from gateway.lab.search.scenarios import burst, burst_plan, overload
from gateway.lab.search.slo import Slo
from tests.support.md1 import Md1
from tests.support.runs import run_of

SLO = Slo.parse("p99=20ms")
FAST, SLOW = [0.001] * 10, [0.2] * 10


async def test_a_queue_without_bound_loses_its_goodput() -> None:
    """At 1.5 times the limit nearly every answer comes too late."""
    server = Md1(0.001)
    found = overload(await server(880, 20, 1), await server(1320, 20, 2), SLO)
    assert found.kept < 0.2
    assert not found.passed
    assert "at 1.5 x the rate" in found.sentence
    assert found.sentence.endswith("goodput falls: shed earlier")


def test_shedding_keeps_goodput_flat() -> None:
    """A third is refused, and the rest is in time."""
    found = overload(
        run_of([FAST] * 5, rate=10.0), run_of([FAST] * 5, errors=[5] * 5, rate=15.0), SLO
    )
    assert found.kept == pytest.approx(1)
    assert found.passed


def test_recovery_is_counted_from_the_end_of_the_burst() -> None:
    """Two seconds of backlog, one good second among them does not count."""
    plan: dict[str, Any] = {"schedule": "burst", "burst_seconds": 4.0}
    before, during = [FAST] * 8, [SLOW] * 4
    found = burst(run_of([*before, *during, SLOW, FAST, SLOW, *([FAST] * 5)], **plan), SLO)
    assert found.recovery == 3
    assert found.worst == pytest.approx(0.2, rel=1e-3)
    assert found.sentence.endswith("recovered 3 s after its end")


def test_recovery_may_never_come() -> None:
    """Errors that were not there before count as well."""
    plan: dict[str, Any] = {"schedule": "burst", "burst_seconds": 4.0}
    found = burst(run_of([FAST] * 20, errors=[0] * 12 + [1] * 8, **plan))
    assert found.recovery is None
    assert "had not recovered" in found.sentence


def test_a_burst_leaves_time_to_see_it_pass() -> None:
    """At least four times its length, whatever was asked."""
    plan = burst_plan(Plan(url="u", model="m", rate=1, duration=5, burst_seconds=10))
    assert (plan.schedule, plan.duration) == ("burst", 40)


def test_any_other_run_has_no_burst() -> None:
    """It is refused by name."""
    with pytest.raises(LabError, match="schedule 'poisson': expected burst"):
        burst(run_of([FAST]))
