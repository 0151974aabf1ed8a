# SPDX-License-Identifier: Apache-2.0
"""Gate: whether a deployment became slower than a stored result says, for a release pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log, sqrt
from statistics import fmean, variance
from typing import Final

import msgspec

from gateway.lab import LabError
from gateway.lab.load.run import Plan, Run
from gateway.lab.search.against import FIGURES
from gateway.statistics.dependence import student_quantile

# What must be the same for two results to be about the same thing.
_ALIKE: Final = ("model", "protocol", "schedule", "rate", "batch", "repeat", "new_connections")


class Check(msgspec.Struct, frozen=True):
    """One figure now beside the stored one. *ratio* is now over then.

    *lower* and *upper* hold it; *regressed* says that all of the interval is on the bad side of
    what is tolerated.
    """

    figure: str
    then: float
    now: float
    ratio: float
    lower: float
    upper: float
    regressed: bool


class Gate(msgspec.Struct, frozen=True):
    """The checks of a result against *baseline*; *repeats* are the runs then and now."""

    baseline: str
    tolerance: float
    level: float
    repeats: tuple[int, int]
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing regressed."""
        return not any(one.regressed for one in self.checks)

    @property
    def sentence(self) -> str:
        """The result in words."""
        bad = [
            f"{one.figure} x {one.ratio:.2f} [{one.lower:.2f}, {one.upper:.2f}]"
            for one in self.checks
            if one.regressed
        ]
        if bad:
            return (
                f"slower than {self.baseline} by more than {self.tolerance * 100:g} %: "
                f"{', '.join(bad)}"
            )
        return f"no figure is proven worse than {self.baseline} by {self.tolerance * 100:g} %"


def check(
    now: Sequence[Run],
    then: Sequence[Run],
    *,
    baseline: str,
    tolerance: float = 0.1,
    level: float = 0.95,
) -> Gate:
    """Hold the runs *now* to the stored ones *then*; LabError where they are not alike.

    With two or more runs on both sides their spread makes the interval (Welch's, of logarithms).
    A single run knows its percentiles' intervals only, which are narrower than what differs from
    one run to the next, so *tolerance* must be wide enough for that.
    """
    _alike(now[0].plan, then[0].plan, baseline)
    each = 1 - (1 - level) / (len(FIGURES) + 1)
    checks = []
    for figure, more_is_better in FIGURES.items():
        ratio, lower, upper = _ratio(figure, now, then, each)
        bad = upper < 1 - tolerance if more_is_better else lower > 1 + tolerance
        before, after = _middle(figure, then), _middle(figure, now)
        checks.append(Check(figure, before, after, ratio, lower, upper, bad))
    checks.append(_errors(now, then, each, tolerance))
    return Gate(baseline, tolerance, level, (len(then), len(now)), tuple(checks))


def _alike(now: Plan, then: Plan, baseline: str) -> None:
    names = [*_ALIKE, *([] if now.is_open else ["concurrency"])]
    for name in names:
        if getattr(now, name) != getattr(then, name):
            raise LabError(
                f"baseline {baseline} was measured with {name} {getattr(then, name)}, "
                f"this run with {getattr(now, name)}: expected the same"
            )


def figure_of(run: Run, figure: str) -> float:
    """One of `FIGURES` of *run*."""
    return run.throughput if figure == "throughput" else run.percentile(float(figure[1:]))


def _middle(figure: str, runs: Sequence[Run]) -> float:
    return fmean(figure_of(run, figure) for run in runs)


def _ratio(
    figure: str, now: Sequence[Run], then: Sequence[Run], level: float
) -> tuple[float, float, float]:
    after = [figure_of(run, figure) for run in now]
    before = [figure_of(run, figure) for run in then]
    if min(after) <= 0 or min(before) <= 0:
        # No answers then: nothing to be held to. None now: as bad as can be.
        return (0.0, 0.0, 0.0) if min(before) > 0 and figure == "throughput" else (1.0, 0.0, inf)
    if len(after) > 1 and len(before) > 1:
        return _welch([log(one) for one in after], [log(one) for one in before], level)
    ratio = fmean(after) / fmean(before)
    if figure == "throughput":
        # A count of N has the relative error 1 / sqrt(N).
        half = student_quantile((1 + level) / 2, 1e6) * sqrt(
            1 / max(1, sum(run.ok for run in now)) + 1 / max(1, sum(run.ok for run in then))
        )
        return ratio, ratio * exp(-half), ratio * exp(half)
    q = float(figure[1:])
    low, high = now[0].percentile_interval(q, level)
    low_then, high_then = then[0].percentile_interval(q, level)
    return ratio, low / high_then if high_then else 0.0, high / low_then if low_then else inf


def _welch(after: list[float], before: list[float], level: float) -> tuple[float, float, float]:
    """B. L. Welch, "The generalization of 'Student's' problem", 1947."""
    middle = fmean(after) - fmean(before)
    a, b = variance(after) / len(after), variance(before) / len(before)
    if not a + b:
        return exp(middle), exp(middle), exp(middle)
    degrees = (a + b) ** 2 / (a**2 / (len(after) - 1) + b**2 / (len(before) - 1))
    half = student_quantile((1 + level) / 2, degrees) * sqrt(a + b)
    return exp(middle), exp(middle - half), exp(middle + half)


def _errors(now: Sequence[Run], then: Sequence[Run], level: float, tolerance: float) -> Check:
    """The share of answers that are no errors: it must not fall, by more than chance explains."""
    counts = []
    for runs in (then, now):
        offered = sum(run.offered for run in runs)
        failed = sum(sum(run.errors.values()) for run in runs)
        counts.append((failed, max(1, offered)))
    (before, n), (after, m) = counts
    first, second = 1 - before / n, 1 - after / m
    # One error more is counted on either side, so that none at all has an error too.
    p, q = (before + 1) / (n + 2), (after + 1) / (m + 2)
    half = student_quantile((1 + level) / 2, 1e6) * sqrt(p * (1 - p) / n + q * (1 - q) / m)
    ratio = second / first if first else 1.0
    upper = (second + half) / first if first else inf
    lower = max(0.0, second - half) / first if first else 0.0
    # Errors are rare: a hundredth of the tolerance in latency is what a tenth more of them takes.
    return Check("answered", first, second, ratio, lower, upper, upper < 1 - tolerance / 100)
