# SPDX-License-Identifier: Apache-2.0
"""Simulate: one scenario under one policy, with the real queue, retries, pool and ejection."""

import asyncio
import logging
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from benchmarks.sim.baseline import BASELINES
from benchmarks.sim.scenario import Outcome, Scenario
from benchmarks.sim.virtual import VirtualLoop, clocked
from benchmarks.sim.workers import Line, Worker
from gateway.drive import Drive
from gateway.stages.balance import Balance
from gateway.stages.batch import Batch
from gateway.stages.retry import Retry
from gateway.stages.retry_budget import RetryBudget
from gateway.telemetry import Telemetry
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Ejection
from gateway.upstream.outstanding import Outstanding, create
from gateway.upstream.policy import POLICIES, Policy
from gateway.upstream.pool import Pool
from gateway.upstream.shared import SharedEndpoint
from gateway.wire.message import InferRequest, InferResponse, Service
from gateway.wire.tensor import Tensor

NAMES: Final = (*(name for name in POLICIES if name != "least_connections"), *BASELINES)
ROW: Final = Tensor.of("x", np.zeros((1, 1), np.float32))
# Keys for policies that go by one; requests have one of so many.
KEYS: Final = 1000


def made(name: str, rng: Random, clock: Callable[[], float]) -> Policy:
    """The policy *name* with its default options."""
    if name in BASELINES:
        return BASELINES[name](rng)
    return POLICIES[name]().make(rng=rng, clock=clock)


class Gateway:
    """One gateway process's queue, retries and pool over *workers*."""

    def __init__(
        self,
        scenario: Scenario,
        policy: Policy,
        workers: list[Worker],
        rng: Random,
        counts: Outstanding | None,
    ) -> None:
        clock = workers[0].loop.time
        self.telemetry = Telemetry(["m"])
        self.pool = pool = Pool("m", policy=policy, telemetry=self.telemetry, clock=clock)
        for worker in workers:
            name = f"e{worker.index}"
            column = None if counts is None else counts.column(name)
            kind: Callable[..., Endpoint] = Endpoint
            if column is not None and counts is not None:
                kind = partial(SharedEndpoint, column=column, processes=counts.processes)
            reports = pool.reported if pool.informed else None
            ejection = Ejection(clock=clock, rng=rng)
            endpoint = kind(
                name,
                partial(Line, worker, reports=reports),
                pool,
                ejection=ejection,
                cap=scenario.cap or None,
            )
            pool.add([endpoint])
        for endpoint, worker in zip(pool.endpoints, workers, strict=True):
            endpoint.came_up(worker.info, "1")
        budget = RetryBudget(
            clock=clock,
            share=scenario.retry_percent / 100,
            min_per_second=scenario.retry_minimum,
        )
        retry = Retry(
            Balance(pool),
            model="m",
            telemetry=self.telemetry,
            attempts=scenario.attempts,
            budget=budget,
            rng=rng,
        )
        self.service: Service = Batch(
            retry,
            model="m",
            pool=pool,
            telemetry=self.telemetry,
            max_rows=scenario.max_rows,
            budget=budget,
        )


class Run:
    """One run: sends requests at random instants and keeps what becomes of them."""

    def __init__(self, scenario: Scenario, policy: str, counts: list[Outstanding]) -> None:
        loop = asyncio.get_running_loop()
        self._scenario = scenario
        self._loop = loop
        self._rng = Random(scenario.seed)
        self._workers = [
            Worker(scenario, index, loop, Random(scenario.seed * 7919 + index))
            for index in range(scenario.endpoints)
        ]
        self._gateways = [
            Gateway(
                scenario,
                made(policy, Random(scenario.seed * 31 + index), loop.time),
                self._workers,
                Random(scenario.seed * 37 + index),
                counts[index] if counts else None,
            )
            for index in range(scenario.gateways)
        ]
        self._parts = [scenario.part(index) for index in range(scenario.gateways)]
        self._open = 0
        self._over = loop.create_future()
        self._ending = False
        self.sent = 0
        self.seconds: list[float] = []
        self.imbalances: list[int] = []
        self.busiest: list[int] = []

    async def __call__(self) -> None:
        """Send for as long as the scenario says, and wait for the last answer."""
        self._arrive()
        await asyncio.sleep(self._scenario.seconds)
        self._ending = True
        if self._open:
            await self._over

    @property
    def attempts(self) -> int:
        """What all workers were asked, a batch as often as it has members."""
        return sum(worker.asked for worker in self._workers)

    def _arrive(self) -> None:
        if self._ending:
            return
        loop, scenario, rng = self._loop, self._scenario, self._rng
        loop.call_later(rng.expovariate(scenario.rate), self._arrive)
        (gateway,) = rng.choices(self._gateways, self._parts)
        request = InferRequest("m", (ROW,), deadline=loop.time() + scenario.timeout)
        request.trace.affinity = b"%d" % rng.randrange(KEYS) if gateway.pool.keyed else b""
        rows = [worker.rows for worker in self._workers]
        self.imbalances.append(max(rows) - min(rows))
        self.busiest.append(max(worker.held for worker in self._workers))
        self.sent += 1
        self._open += 1
        drive: Drive[InferResponse] = Drive(partial(self._done, loop.time()))
        drive.call(gateway.service, request)

    def _done(
        self, began: float, response: InferResponse | None, error: BaseException | None
    ) -> None:
        self._open -= 1
        if error is None and response is not None:
            self.seconds.append(self._loop.time() - began)
        if self._ending and not self._open and not self._over.done():
            self._over.set_result(None)


def simulate(scenario: Scenario, policy: str) -> Outcome:
    """What becomes of *scenario* under the policy named *policy*; the same for the same seed."""
    # Thousands of ejections are what is asked for, and no news.
    log = logging.getLogger("gateway.upstream.endpoint")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with (
            tempfile.TemporaryDirectory() as directory,
            asyncio.Runner(loop_factory=VirtualLoop) as runner,
            clocked(runner.get_loop().time),
        ):
            counts: list[Outstanding] = []
            if scenario.gateways > 1 and scenario.shared:
                path = Path(directory) / "outstanding"
                create(path, scenario.gateways)
                counts = [Outstanding(path, index) for index in range(scenario.gateways)]

            async def whole() -> Run:
                run = Run(scenario, policy, counts)
                await run()
                return run

            return _told(scenario, policy, runner.run(whole()))
    finally:
        log.setLevel(before)


def _told(scenario: Scenario, policy: str, run: Run) -> Outcome:
    seconds = np.array(run.seconds or [float("nan")])
    return Outcome(
        policy=policy,
        requests=run.sent,
        answered=len(run.seconds),
        p50=float(np.percentile(seconds, 50)),
        p99=float(np.percentile(seconds, 99)),
        goodput=float((seconds <= scenario.slo).sum()) / scenario.seconds,
        attempts=run.attempts / max(run.sent, 1),
        imbalance=float(np.mean(run.imbalances)),
        busiest=float(np.percentile(run.busiest, 99)),
    )
