# SPDX-License-Identifier: Apache-2.0
"""Point: what one run, or several at the same setting, come to in a few figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import msgspec

from gateway.lab.load.histogram import Histogram
from gateway.lab.load.run import Run
from gateway.lab.search.slo import Slo


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one setting: *value* of what *name* says, such as 800 of "rate".

    Rates are a second, times in seconds from the intended send. *throughput* counts successes by
    when they were sent, *answered* all answers by when they came: beyond a server's limit that is
    less. *goodput* counts successes within the SLO, all of them where there is none.
    """

    name: str
    value: float
    offered: float
    throughput: float
    answered: float
    rows: float
    goodput: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    maximum: float
    mean: float
    errors: float
    requests: int
    seconds: float
    valid: bool = True
    reasons: tuple[str, ...] = ()

    @property
    def in_flight(self) -> float:
        """The mean number of requests under way, by Little's law."""
        return self.throughput * self.mean

    @classmethod
    def of_runs(
        cls, name: str, value: float, runs: Sequence[Run], *, slo: Slo | None = None
    ) -> Self:
        """The figures of *runs* together; histograms are merged, never averaged."""
        response = Histogram()
        for run in runs:
            response.add(run.response)
        seconds = sum(run.seconds for run in runs)
        offered = sum(run.offered for run in runs)
        span = seconds or 1.0
        good = sum(
            (run.throughput if slo is None else run.goodput(slo.within)) * run.seconds
            for run in runs
        )
        return cls(
            name=name,
            value=value,
            offered=offered / span,
            throughput=sum(run.ok for run in runs) / span,
            answered=sum(second.answered for run in runs for second in run.timeline) / span,
            rows=sum(run.rows for run in runs) / span,
            goodput=good / span,
            p50=response.percentile(50),
            p90=response.percentile(90),
            p95=response.percentile(95),
            p99=response.percentile(99),
            p999=response.percentile(99.9),
            maximum=response.maximum,
            mean=response.mean,
            errors=sum(sum(run.errors.values()) for run in runs) / (offered or 1),
            requests=offered,
            seconds=seconds,
            valid=all(run.valid for run in runs),
            reasons=tuple(dict.fromkeys(reason for run in runs for reason in run.reasons)),
        )
