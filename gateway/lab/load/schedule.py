# SPDX-License-Identifier: Apache-2.0
"""Schedules: the instants at which an open loop sends, in nanoseconds after its start.

A schedule depends on the plan and its seed alone. Share i of n takes every n-th instant from the
i-th on, so that the shares together are the whole schedule, whatever their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.lab import LabError

if TYPE_CHECKING:
    from gateway.lab.load.run import Plan
    from gateway.wire.tensor import Array

# Instants are drawn so many at a time: that takes a fraction of a millisecond.
_BLOCK: Final = 2048
_NANOSECONDS: Final = 1e9
# A ramp without a beginning starts at this share of its end.
RAMP_FROM: Final = 0.1


def arrivals(
    plan: Plan, warmup: float, *, share: int = 0, shares: int = 1, trace: Array | None = None
) -> Iterator[int]:
    """The instants of share *share* of *shares*, without end; the caller stops.

    Ramps and bursts begin after *warmup* seconds, in which their first rate is offered. *trace*
    holds the instants of a trace in seconds, from 0.
    """
    if plan.schedule == "trace":
        if trace is None:
            raise LabError("schedule 'trace' needs a file with instants")
        blocks = _replay(trace)
    elif plan.schedule == "constant":
        blocks = _constant(plan.rate)
    else:
        blocks = _random(plan.seed, _clock(plan, warmup))
    offset = share
    for block in blocks:
        yield from block[offset::shares].tolist()
        # Where the first of this share stands in the next block.
        offset = (offset - len(block)) % shares


def _constant(rate: float) -> Iterator[Array]:
    start = 0
    while True:
        numbers = np.arange(start, start + _BLOCK, dtype=np.float64)
        yield (numbers * (_NANOSECONDS / rate)).astype(np.int64)
        start += _BLOCK


def _random(seed: int, clock: Callable[[Array], Array]) -> Iterator[Array]:
    """A Poisson process of rate 1, seen by a *clock* that runs as fast as the rate.

    Source: the time change of a Poisson process, E. Cinlar, "Introduction to Stochastic
    Processes", 1975.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    last = 0.0
    while True:
        events = last + np.cumsum(random.standard_exponential(_BLOCK))
        last = float(events[-1])
        yield (clock(events) * _NANOSECONDS).astype(np.int64)


def _clock(plan: Plan, warmup: float) -> Callable[[Array], Array]:
    """From the expected number of requests to the seconds in which it is reached."""
    if plan.schedule == "poisson":
        return lambda expected: np.divide(expected, plan.rate)
    if plan.schedule == "ramp":
        first = plan.ramp_from or plan.rate * RAMP_FROM
        return _ramp(first, plan.rate, warmup, plan.duration)
    # A burst: the rate, then more, then the rate again.
    length = min(plan.burst_seconds, plan.duration)
    begin = warmup + (plan.duration - length) / 2
    times = np.asarray([0.0, begin, begin + length])
    counts = np.asarray([0.0, begin * plan.rate, 0.0])
    counts[2] = counts[1] + length * plan.rate * plan.burst_factor

    def seconds(expected: Array) -> Array:
        inside = np.interp(expected, counts, times)
        after = times[2] + (expected - counts[2]) / plan.rate
        return np.asarray(np.where(expected > counts[2], after, inside))

    return seconds


def _ramp(first: float, last: float, warmup: float, duration: float) -> Callable[[Array], Array]:
    before = first * warmup
    whole = (first + last) / 2 * duration
    slope = (last - first) / duration

    def seconds(expected: Array) -> Array:
        within = np.clip(expected - before, 0, whole)
        # The root of first t + slope t^2 / 2 = within, in the form that is exact for no slope.
        root = np.sqrt(np.maximum(first * first + 2 * slope * within, 0))
        ramped = warmup + 2 * within / (first + root)
        after = warmup + duration + (expected - before - whole) / last
        return np.where(
            expected < before, expected / first, np.where(expected < before + whole, ramped, after)
        )

    return seconds


def _replay(trace: Array) -> Iterator[Array]:
    """The trace, again and again; a pause of its mean gap stands between its rounds."""
    period = float(trace[-1]) * len(trace) / max(len(trace) - 1, 1) or 1.0
    start = 0.0
    while True:
        yield ((trace + start) * _NANOSECONDS).astype(np.int64)
        start += period


def read_trace(path: str, rate: float) -> Array:
    """The instants in the file *path*, from 0 in seconds, stretched to *rate* where that is not 0.

    One number a line, seconds from anywhere; of a line with commas the first. Empty lines, a first
    line of words and lines that begin with # are passed by. Raises LabError.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not a text file"
        raise LabError(f"{path}: {why}") from None
    instants = []
    for number, line in enumerate(lines, 1):
        word = line.split(",", 1)[0].strip()
        if not word or word.startswith("#"):
            continue
        try:
            instants.append(float(word))
        except ValueError:
            if instants or number > 1:
                raise LabError(
                    f"{path}:{number}: '{word[:40]}': expected an instant in seconds, one a line"
                ) from None
    made = np.asarray(instants, dtype=np.float64)
    if len(made) < 2 or not np.isfinite(made).all() or (np.diff(made) < 0).any():
        raise LabError(f"{path}: expected two or more finite instants in seconds, in order of time")
    made -= made[0]
    if not made[-1]:
        raise LabError(f"{path}: all instants are the same")
    if rate:
        made *= (len(made) - 1) / made[-1] / rate
    return made
