# SPDX-License-Identifier: Apache-2.0
"""Runs made of given response times, for what reads the results of load tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gateway.lab.load.run import Plan, Run, Second


def run_of(seconds: Sequence[Sequence[float]], *, errors: Sequence[int] = (), **plan: Any) -> Run:
    """A run whose requests of each second took the given times, in seconds.

    *errors* were refused besides, in each second.
    """
    refused = [*errors, *([0] * (len(seconds) - len(errors)))]
    settings: dict[str, Any] = {
        "url": "http://server",
        "model": "m",
        "rate": 100.0,
        "duration": len(seconds),
    }
    run = Run(plan=Plan(**(settings | plan)), seconds=float(len(seconds)))
    for number, (times, failed) in enumerate(zip(seconds, refused, strict=True)):
        one = Second(second=number, offered=len(times) + failed, errors=failed)
        one.answered = one.offered
        one.response.record((np.asarray(times, dtype=float) * 1e9).astype(np.int64))
        one.p50, one.p99 = one.response.percentile(50), one.response.percentile(99)
        run.timeline.append(one)
        run.response.add(one.response)
        run.offered += one.offered
        run.ok += len(times)
    run.sent = run.answered = run.rows = run.offered
    run.service = run.response
    if sum(refused):
        run.errors = {"shed": sum(refused)}
    return run
