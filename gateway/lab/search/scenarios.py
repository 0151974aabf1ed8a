# SPDX-License-Identifier: Apache-2.0
"""Scenarios: what a server does beyond its limit, and how soon it is itself again."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

import msgspec

from gateway.lab import LabError
from gateway.lab.load.run import Plan, Run, Second
from gateway.lab.search.point import Point
from gateway.lab.search.slo import Slo

# Offered beyond the limit, as in the field's tests of overload.
OVERLOAD: Final = 1.5
# Goodput counts as kept while it is at least this share of that at the limit.
_KEPT: Final = 0.9
# A server has recovered once so many seconds in a row are as they were before.
_IN_A_ROW: Final = 3
# Without an SLO a second is as before while its p99 is at most so many times as long.
_AS_BEFORE: Final = 1.5


class Overload(msgspec.Struct, frozen=True):
    """At the limit, and at *factor* times it."""

    factor: float
    at_limit: Point
    beyond: Point

    @property
    def kept(self) -> float:
        """Goodput beyond the limit as a share of that at the limit."""
        return self.beyond.goodput / self.at_limit.goodput if self.at_limit.goodput else 0.0

    @property
    def passed(self) -> bool:
        """Whether shedding keeps goodput flat."""
        return self.kept >= _KEPT

    @property
    def sentence(self) -> str:
        """The result in words."""
        says = "goodput stays flat" if self.passed else "goodput falls: shed earlier"
        return (
            f"at {self.factor:g} x the rate {self.kept * 100:.0f} % of the goodput is kept "
            f"({self.beyond.goodput:.0f}/s of {self.at_limit.goodput:.0f}/s): {says}"
        )


class Burst(msgspec.Struct, frozen=True):
    """A step up and down again. *recovery* is in seconds from its end; None where it never came."""

    factor: float
    seconds: float
    before: float
    worst: float
    recovery: float | None

    @property
    def sentence(self) -> str:
        """The result in words."""
        return (
            f"a burst of {self.factor:g} x for {self.seconds:g} s raises p99 from "
            f"{self.before * 1e3:.1f} to {self.worst * 1e3:.1f} ms; "
            + (
                "it had not recovered when the run ended"
                if self.recovery is None
                else f"recovered {self.recovery:g} s after its end"
            )
        )


def overload(at_limit: Run, beyond: Run, slo: Slo) -> Overload:
    """Of a run at the limit and one beyond it."""
    rate = at_limit.plan.rate
    return Overload(
        beyond.plan.rate / rate,
        Point.of_runs("rate", rate, [at_limit], slo=slo),
        Point.of_runs("rate", beyond.plan.rate, [beyond], slo=slo),
    )


def burst_plan(plan: Plan) -> Plan:
    """*plan* with a burst in the middle, and time enough before and after to see it pass."""
    seconds = plan.burst_seconds
    return msgspec.structs.replace(
        plan, schedule="burst", duration=max(plan.duration, 4 * seconds), burst_seconds=seconds
    )


def burst(run: Run, slo: Slo | None = None) -> Burst:
    """Of a run by `burst_plan`; LabError for any other."""
    plan = run.plan
    if plan.schedule != "burst":
        raise LabError(f"schedule '{plan.schedule}': expected burst, to see a recovery")
    begin = (plan.duration - plan.burst_seconds) / 2
    end = begin + plan.burst_seconds
    before = [one.p99 for one in run.timeline if one.second + 1 <= begin and one.offered]
    if not before:
        raise LabError("no second before the burst: expected a longer run")
    usual = median(before)
    most = max(before) * _AS_BEFORE if slo is None else slo.within
    after = [one for one in run.timeline if one.second >= end]
    worst = max((one.p99 for one in run.timeline if one.second + 1 > begin), default=0.0)
    quiet = max(one.errors / one.offered for one in run.timeline
                if one.second + 1 <= begin and one.offered)  # fmt: skip
    recovery = _recovery(after, most, quiet)
    return Burst(
        plan.burst_factor, plan.burst_seconds, usual, worst,
        None if recovery is None else max(0.0, recovery - end),
    )  # fmt: skip


def _recovery(after: Sequence[Second], most: float, quiet: float) -> float | None:
    """The first of the first seconds in a row that are as before."""
    row = 0
    for one in after:
        good = not one.offered or (one.p99 <= most and one.errors <= quiet * one.offered)
        row = row + 1 if good else 0
        if row == _IN_A_ROW:
            return float(one.second + 1 - _IN_A_ROW)
    return None
