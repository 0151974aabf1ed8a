# SPDX-License-Identifier: Apache-2.0
"""Against: two deployments under the same load, in rounds that alternate, and their ratio.

Machines warm up, neighbours come and go: what is measured one after the other differs by that too.
Within a round both see the same minute, the order changes from round to round, and the spread
between rounds, which is wider than any interval within a run, makes the interval.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import exp, inf, log
from typing import Final, Literal

import msgspec

from gateway.lab import LabError
from gateway.lab.load.run import Run
from gateway.lab.search.point import Point
from gateway.statistics.dependence import mean_interval

Says = Literal["better", "worse", "not different", "unknown"]
# What is compared, and whether more of it is better.
FIGURES: Final = {"throughput": True, "p50": False, "p99": False}
# Three rounds are the least whose spread means something.
LEAST_ROUNDS: Final = 3


class Ratio(msgspec.Struct, frozen=True):
    """A figure of the other deployment beside that of the first; 1.1 is a tenth more.

    *lower* and *upper* hold the true ratio at the comparison's level, for all figures together.
    """

    figure: str
    first: float
    other: float
    ratio: float
    lower: float
    upper: float
    says: Says

    def __str__(self) -> str:
        return f"{self.figure} x {self.ratio:.3f} [{self.lower:.3f}, {self.upper:.3f}]: {self.says}"


class Comparison(msgspec.Struct, frozen=True):
    """*rounds* of two deployments, each with a point of either, and the ratios of their figures."""

    first: str
    other: str
    rounds: tuple[tuple[Point, Point], ...]
    ratios: tuple[Ratio, ...]
    level: float
    margin: float

    @property
    def sentence(self) -> str:
        """The result in words."""
        told = [one for one in self.ratios if one.says in {"better", "worse"}]
        if not told:
            unknown = [one.figure for one in self.ratios if one.says == "unknown"]
            if unknown:
                return f"{' and '.join(unknown)} could not be compared: no answers in some round"
            return (
                f"the two are not different within {self.margin * 100:g} %, "
                f"at {self.level * 100:g} % confidence over {len(self.rounds)} rounds"
            )
        parts = [
            f"{one.figure} is {abs(one.ratio - 1) * 100:.1f} % {_more(one.ratio)} "
            f"({one.says}; {_percent(one.lower)} to {_percent(one.upper)})"
            for one in told
        ]
        return f"{self.other}, beside {self.first}: {', '.join(parts)}"


def _more(ratio: float) -> str:
    return "higher" if ratio > 1 else "lower"


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f} %"


async def compare(
    first: tuple[str, Callable[[int], Awaitable[Run]]],
    other: tuple[str, Callable[[int], Awaitable[Run]]],
    *,
    rounds: int = 5,
    level: float = 0.95,
    margin: float = 0.02,
    stopped: Callable[[], bool] = lambda: False,
) -> Comparison:
    """Run both by turns, *rounds* times. Each is a name and what measures, given a seed.

    A difference is told where the interval leaves out a ratio of 1 and the ratio differs from it
    by more than *margin*: what is smaller is real, perhaps, but nobody's reason to change.
    """
    if rounds < LEAST_ROUNDS:
        raise LabError(f"{rounds} rounds: expected {LEAST_ROUNDS} or more, to know their spread")
    pairs: list[tuple[Run, Run]] = []
    for number in range(rounds):
        if number % 2:
            second = await other[1](number)
            pairs.append((await first[1](number), second))
        else:
            one = await first[1](number)
            pairs.append((one, await other[1](number)))
        if stopped():
            pairs.pop()
            break
    if len(pairs) < LEAST_ROUNDS:
        raise LabError(f"ended after {len(pairs)} rounds: expected {LEAST_ROUNDS} or more")
    points = [
        (
            Point.of_runs("round", number + 1, [one]),
            Point.of_runs("round", number + 1, [two]),
        )
        for number, (one, two) in enumerate(pairs)
    ]
    return Comparison(
        first[0], other[0], tuple(points), ratios(points, level=level, margin=margin), level, margin
    )


def ratios(
    points: Sequence[tuple[Point, Point]], *, level: float, margin: float
) -> tuple[Ratio, ...]:
    """The ratio of each figure over rounds, by Student's interval of its logarithm."""
    # Bonferroni: the level holds for all figures together.
    each = 1 - (1 - level) / len(FIGURES)
    return tuple(
        _ratio(name, more_is_better, points, each, margin)
        for name, more_is_better in FIGURES.items()
    )


def _ratio(
    figure: str,
    more_is_better: bool,  # noqa: FBT001 - a fact of the figure
    points: Sequence[tuple[Point, Point]],
    level: float,
    margin: float,
) -> Ratio:
    values = [(getattr(one, figure), getattr(two, figure)) for one, two in points]
    middle = sorted(one for one, _ in values)[len(values) // 2]
    beside = sorted(two for _, two in values)[len(values) // 2]
    if any(one <= 0 or two <= 0 for one, two in values):
        return Ratio(figure, middle, beside, 1.0, 0.0, inf, "unknown")
    logs = [log(two / one) for one, two in values]
    interval = mean_interval(logs, level=level)
    ratio, lower, upper = (
        exp(each) for each in (sum(logs) / len(logs), interval.lower, interval.upper)
    )
    says: Says = "not different"
    if not lower <= 1 <= upper and abs(ratio - 1) > margin:
        says = "better" if (ratio > 1) == more_is_better else "worse"
    return Ratio(figure, middle, beside, ratio, lower, upper, says)
