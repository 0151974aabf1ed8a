# SPDX-License-Identifier: Apache-2.0
"""Knee: where more load stops paying, found in three ways that ought to agree.

The first is the one to plan with: the highest rate that is answered and keeps the SLO. The other
two look at the shape of the curve alone, and need no SLO.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt
from typing import Final

import msgspec
import numpy as np

from gateway.lab.search.point import Point

# Of what was offered, so much must be goodput below the knee.
_ANSWERED: Final = 0.99
# A fit has three unknowns; with fewer points it says nothing.
_LEAST_POINTS: Final = 4
# Crosstalk that changes nothing at the highest load measured is rounding.
_NEGLIGIBLE: Final = 1e-6


class Scaling(msgspec.Struct, frozen=True):
    """The universal scalability law X(N) = *gain* N / (1 + *contention* (N - 1) + *crosstalk* N
    (N - 1)), and the N where X is highest: inf where it never falls.

    Source: N. J. Gunther, "Guerrilla Capacity Planning", 2007, chapter 4.
    """

    gain: float
    contention: float
    crosstalk: float
    best: float
    # The share of the variance of N / X that the fit explains.
    explained: float

    def throughput(self, n: float) -> float:
        """X(*n*)."""
        return self.gain * n / (1 + self.contention * (n - 1) + self.crosstalk * n * (n - 1))


class Knees(msgspec.Struct, frozen=True):
    """The three: a rate within the SLO, a concurrency, and a throughput; None for not found."""

    within: float | None
    scaling: Scaling | None
    bend: float | None


def knees(points: Sequence[Point], *, passed: Sequence[float] = ()) -> Knees:
    """Of *points* at different loads; *passed* are the rates whose SLO is proven to be kept."""
    good = [
        one.value for one in points
        if one.value in passed and one.offered and one.goodput >= _ANSWERED * one.offered
    ]  # fmt: skip
    rates = [(one.answered, one.p99) for one in points if one.requests]
    return Knees(
        within=max(good, default=None),
        scaling=scaling([(one.in_flight, one.answered) for one in points]),
        bend=kneedle(rates),
    )


def scaling(points: Sequence[tuple[float, float]]) -> Scaling | None:
    """Fit the law to pairs of N and X; None for fewer than four of them.

    N / X is linear in the unknowns: 1 + s (N - 1) + k N (N - 1), all over the gain, so least
    squares over it has one answer. A negative coefficient has no meaning and is left out.
    """
    kept = [(n, x) for n, x in points if n > 0 and x > 0]
    if len(kept) < _LEAST_POINTS:
        return None
    n, x = np.asarray(kept, dtype=float).T
    columns = {"one": np.ones_like(n), "contention": n - 1, "crosstalk": n * (n - 1)}
    # Relative errors count alike, whatever the load.
    weight = x / n
    target = n / x
    while True:
        design = np.stack([column * weight for column in columns.values()], axis=1)
        found = np.linalg.lstsq(design, target * weight, rcond=None)[0]
        solved = dict(zip(columns, found.tolist(), strict=True))
        negative = [name for name, value in solved.items() if value < 0 and name != "one"]
        if not negative:
            break
        del columns[min(negative, key=lambda name: solved[name])]
    if solved["one"] <= 0:
        return None
    gain = 1 / solved["one"]
    contention = solved.get("contention", 0.0) * gain
    crosstalk = solved.get("crosstalk", 0.0) * gain
    residual = target - sum(columns[name] * value for name, value in solved.items())
    total = float(((target - target.mean()) ** 2).sum())
    explained = 1 - float((residual**2).sum()) / total if total else 1.0
    if crosstalk * float(n.max()) ** 2 < _NEGLIGIBLE:
        crosstalk = 0.0
    best = sqrt((1 - contention) / crosstalk) if crosstalk and contention < 1 else inf
    return Scaling(gain, contention, crosstalk, best, explained)


def kneedle(points: Sequence[tuple[float, float]]) -> float | None:
    """The x where a growing curve bends up the most; None where it bends nowhere.

    Both axes are brought to 0 to 1, and the point furthest below the diagonal is the knee.
    Source: V. Satopaa et al., "Finding a 'Kneedle' in a Haystack", 2011.
    """
    kept = sorted(points)
    if len(kept) < _LEAST_POINTS:
        return None
    x, y = np.asarray(kept, dtype=float).T
    if x[-1] == x[0] or y.max() == y.min():
        return None
    # Latency at saturation is as long as the run: its logarithm keeps the rest of the curve.
    y = np.log(np.maximum(y, 1e-9))
    y = np.maximum.accumulate(y)
    below = (x - x[0]) / (x[-1] - x[0]) - (y - y[0]) / (y[-1] - y[0])
    place = int(below.argmax())
    return float(x[place]) if below[place] > 0 else None
