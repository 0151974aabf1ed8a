# SPDX-License-Identifier: Apache-2.0
"""A server whose capacity is known: Poisson arrivals, constant service, one queue, virtual time."""

from __future__ import annotations

from decimal import Decimal, localcontext
from itertools import pairwise
from math import floor
from typing import Final

import numpy as np

from gateway.lab.load.run import Plan, Run, Second

_NS: Final = 1e9


def tail(rate: float, service: float, seconds: float) -> float:
    """P(waiting and service take longer than *seconds*) in an M/D/1 queue.

    Source: A. K. Erlang's formula for the distribution of waiting, as in H. Tijms, "A First Course
    in Stochastic Models", section 9.6. Its terms alternate, so it is summed with many digits.
    """
    wait = seconds - service
    if wait < 0:
        return 1.0
    with localcontext() as context:
        context.prec = 120
        load = Decimal(rate) * Decimal(service)
        total = Decimal(0)
        factorial = Decimal(1)
        for k in range(floor(wait / service) + 1):
            factorial *= k or 1
            x = load * (Decimal(wait) / Decimal(service) - k)
            total += (-x) ** k / factorial * x.exp() if k else x.exp()
        return float(1 - (1 - load) * total)


def capacity(service: float, seconds: float, share: float) -> float:
    """The rate at which exactly *share* of all requests take at most *seconds*."""
    low, high = 0.0, (1 - 1e-6) / service
    for _ in range(60):
        middle = (low + high) / 2
        if tail(middle, service, seconds) > 1 - share:
            high = middle
        else:
            low = middle
    return low


class Md1:
    """Measures such a server as a load generator would: *service* seconds a request.

    What came in the *warmup* seconds before is left out; *failing* is the share of requests that
    the server refuses at once.
    """

    def __init__(self, service: float, *, warmup: float = 5.0, failing: float = 0.0) -> None:
        self.service = service
        self.warmup = warmup
        self.failing = failing
        self.runs = 0
        self.seconds = 0.0

    async def __call__(self, rate: float, seconds: float, seed: int) -> Run:
        """A run at *rate*."""
        self.runs += 1
        self.seconds += seconds
        random = np.random.default_rng(seed)
        count = int(random.poisson(rate * (self.warmup + seconds)))
        arrivals = np.sort(random.random(count)) * (self.warmup + seconds)
        # Departures by Lindley's recursion, as one running maximum.
        slack = arrivals - self.service * np.arange(count)
        response = np.maximum.accumulate(slack) - slack + self.service
        done = np.floor(arrivals + response - self.warmup).astype(int)
        kept = arrivals >= self.warmup
        arrivals, response = arrivals[kept] - self.warmup, response[kept]
        refused = random.random(len(arrivals)) < self.failing
        plan = Plan(url="http://virtual", model="m", rate=rate, duration=seconds, seed=seed)
        run = Run(plan=plan, seconds=seconds)
        run.offered = run.sent = run.answered = run.rows = len(arrivals)
        run.ok = int((~refused).sum())
        if refused.any():
            run.errors = {"shed": int(refused.sum())}
        ends = np.searchsorted(arrivals, np.arange(int(seconds) + 1))
        for second, (first, last) in enumerate(pairwise(ends)):
            one = Second(second=second, offered=int(last - first))
            one.answered = int(np.searchsorted(done, second + 1) - np.searchsorted(done, second))
            here, failed = response[first:last], refused[first:last]
            one.errors = int(failed.sum())
            one.response.record((here[~failed] * _NS).astype(np.int64))
            one.p50, one.p99 = one.response.percentile(50), one.response.percentile(99)
            run.timeline.append(one)
            run.response.add(one.response)
        run.service = run.response
        return run
