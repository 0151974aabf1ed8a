# SPDX-License-Identifier: Apache-2.0
"""Verdict: whether a run measured the server, or the generator, and what to know besides."""

from __future__ import annotations

from math import inf, sqrt
from statistics import median
from typing import TYPE_CHECKING, Final

from gateway.lab.load.generator import LATE
from gateway.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.lab.load.histogram import Histogram
    from gateway.lab.load.run import Run, Second

# The p99 of the send lag may be this share of the median response time ...
LAG_SHARE: Final = 0.1
# ... or this many seconds, whichever is more: a busy machine wakes nobody more exactly.
LAG_FLOOR: Final = 0.001
# This share of requests may be sent late by a whole gap of the schedule, or by LATE.
LATE_SHARE: Final = 0.01
# A process that uses more of a core than this has no time left to be on time.
BUSY: Final = 0.9
# A run is steady where the medians of its first and last third are within this of each other.
STEADY: Final = 0.1
# Fewer whole seconds say nothing about that.
_FEWEST_SECONDS: Final = 9
# Three standard deviations: one run in some hundreds is called unsteady by chance.
_SURE: Final = 3.0
# So much more may be repeated than was asked for.
_REPEATS: Final = 0.02
# A wait in the generator's queue below this is none, in seconds.
_WAIT: Final = 0.001


def lag_limit(response: Histogram) -> float:
    """How late, at the 99th percentile, requests may be sent."""
    return max(LAG_FLOOR, LAG_SHARE * response.percentile(50))


def judge(run: Run) -> None:
    """Set `valid`, `reasons` and `notes` of *run*."""
    run.reasons = _reasons(run)
    run.valid = not run.reasons
    run.notes = _notes(run)


def _reasons(run: Run) -> list[str]:
    reasons = []
    if not run.ok:
        kinds = ", ".join(f"{count} {kind}" for kind, count in run.errors.items())
        reasons.append(f"no request succeeded ({kinds or 'none was sent'})")
    if run.plan.is_open and run.ok:
        lag, limit = run.lag.percentile(99), lag_limit(run.response)
        if lag > limit:
            reasons.append(
                f"the generator sent late: p99 of the send lag is {shown(lag)}, above "
                f"{shown(limit)} (the larger of {LAG_SHARE:.0%} of the median response time and "
                f"{shown(LAG_FLOOR)})"
            )
        late = sum(one.late for one in run.health)
        if late > LATE_SHARE * run.offered:
            reasons.append(
                f"{late / run.offered:.1%} of requests were sent late, by {shown(LATE)} or a whole "
                f"gap of the schedule; {LATE_SHARE:.0%} are allowed"
            )
    busy = [one for one in run.health if one.cpu > BUSY]
    if busy:
        most = max(one.cpu for one in busy)
        reasons.append(
            f"the generator is at its limit: {len(busy)} of {len(run.health)} processes used up to "
            f"{most:.0%} of a core, above {BUSY:.0%}; give more --processes or --agents"
        )
    return reasons


def _notes(run: Run) -> list[str]:
    notes = []
    if not run.plan.is_open:
        notes.append(
            "closed loop: a slow answer delays the next request, so percentiles are flattered and "
            "can be held to no SLO; give --rate for that"
        )
    if run.seconds < run.plan.duration * 0.99:
        notes.append(f"stopped after {run.seconds:.1f} s of {format_duration(run.plan.duration)}")
    waited = run.waited.above(_WAIT)
    if waited > LATE_SHARE * max(1, run.sent):
        notes.append(
            f"{waited / run.sent:.1%} of requests waited for one of {run.plan.connection_limit} "
            "connections; that counts in the response time, not in the service time"
        )
    if run.ok and run.percentile_interval(99)[1] == inf:
        notes.append(f"{run.ok} requests are too few for an upper bound of p99: 368 or more prove "
                     "one at 95 %")  # fmt: skip
    asked = run.plan.repeat
    # Which input repeats is drawn for each request: so far the share is off by chance.
    chance = _SURE * sqrt(0.25 / max(1, run.offered))
    if asked is not None and run.offered and run.duplicates > asked + max(_REPEATS, chance):
        notes.append(
            f"{run.duplicates:.0%} of inputs were repeated, not {asked:.0%}: the data gives no "
            "more different ones"
        )
    drift = trend(run.timeline, run.seconds)
    if drift is not None:
        first, last = drift
        notes.append(
            f"not steady: the median response time went from {shown(first)} to {shown(last)}; "
            + (
                "give a longer --warmup"
                if last < first
                else "the rate may be above what is carried"
            )
        )
    return notes


def trend(timeline: Sequence[Second], seconds: float) -> tuple[float, float] | None:
    """The medians of the first and the last third, in seconds, where they differ for sure.

    By the seconds' medians: more than STEADY apart, and by more than chance in the rank sum test
    of Mann and Whitney, "On a test of whether one of two random variables is stochastically
    larger than the other", 1947. None where the run is steady, or too short to tell.
    """
    whole = [each.p50 for each in timeline if each.second + 1 <= seconds and each.p50]
    if len(whole) < _FEWEST_SECONDS:
        return None
    third = len(whole) // 3
    first, last = whole[:third], whole[-third:]
    before, after = median(first), median(last)
    if abs(after - before) <= STEADY * min(before, after):
        return None
    larger = sum((late > early) + (late == early) / 2 for late in last for early in first)
    centre = third * third / 2
    deviation = sqrt(third * third * (2 * third + 1) / 12)
    # With few seconds no order is three deviations away: then the clearest order must do.
    sure = min(_SURE * deviation, centre)
    return (before, after) if abs(larger - centre) >= sure else None


def shown(seconds: float) -> str:
    """A duration for reading, to three digits."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"
