# SPDX-License-Identifier: Apache-2.0
"""Scenario: what a simulation is about, as plain numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """*endpoints* workers behind *gateways* gateway processes, and what comes upon them.

    *load* is the share of what the workers could do if none were slow. *seconds* is the time of
    requests, *run* that of a run of one row, of which the share *fixed* is the same for any number
    of rows. *slow* of the workers take *factor* times as long. Between *fails_from* and *fails_to*
    the first *failing* workers fail all they get, *fail_time* seconds after they got it. *shared*
    says whether the gateways count together, *skew* is the share of the requests that the first of
    them gets (0: an equal one), and *slo* the time in which an answer is good.
    """

    endpoints: int = 8
    slow: int = 1
    factor: float = 10.0
    load: float = 0.6
    seconds: float = 20.0
    run: float = 0.010
    fixed: float = 0.0
    spread: float = 0.3
    hop: float = 0.0001
    parallelism: int = 1
    cap: int = 0
    max_rows: int = 1
    attempts: int = 2
    retry_percent: float = 20.0
    retry_minimum: float = 10.0
    failing: int = 0
    fails_from: float = 0.0
    fails_to: float = 0.0
    fail_time: float = 0.0
    gateways: int = 1
    shared: bool = True
    skew: float = 0.0
    timeout: float = 5.0
    slo: float = 0.1
    seed: int = 1

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.load * self.endpoints * self.parallelism / self.run

    def part(self, gateway: int) -> float:
        """The share of the requests that *gateway* gets."""
        if self.gateways == 1 or not self.skew:
            return 1 / self.gateways
        return self.skew if gateway == 0 else (1 - self.skew) / (self.gateways - 1)


@dataclass(frozen=True)
class Outcome:
    """What became of the requests; times in seconds.

    *attempts* is for each request: a batch is one for each of its members. *imbalance* is how many
    rows more than the least loaded worker the most loaded one has, and *busiest* the most requests
    that one worker has had at the same time, both as seen at each arrival of a request: the mean,
    and the 99th percentile.
    """

    policy: str
    requests: int
    answered: int
    p50: float
    p99: float
    goodput: float
    attempts: float
    imbalance: float
    busiest: float
