# SPDX-License-Identifier: Apache-2.0
"""Workers in virtual time, and the lines by which gateways reach them."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

from benchmarks.sim.scenario import Scenario
from gateway.errors import UpstreamError
from gateway.promise import Promise
from gateway.upstream.transport import Upcall
from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Tensor

SPEC = (TensorSpec("x", "FP32", (-1, 1)),)


@dataclass
class Job:
    """A request at a worker."""

    request: InferRequest
    promise: Promise[InferResponse]
    line: "Line"


@dataclass
class Worker:
    """Runs what it is sent, *scenario.parallelism* at a time, in the order of arrival."""

    scenario: Scenario
    index: int
    loop: asyncio.AbstractEventLoop
    rng: Random
    queue: deque[Job] = field(default_factory=deque)
    running: int = 0
    rows: int = 0
    asked: int = 0

    @property
    def info(self) -> ModelInfo:
        """The model that it serves."""
        parallelism = self.scenario.parallelism
        return ModelInfo(
            "m", "1", "simulated", "0" * 64, SPEC, SPEC, batched=True, parallelism=parallelism
        )

    @property
    def held(self) -> int:
        """Requests that it has and has not answered."""
        return self.running + len(self.queue)

    def take(self, job: Job) -> None:
        """Run *job*, now or when its turn comes; fail it while everything fails here."""
        scenario = self.scenario
        self.asked += job.request.members
        fails = self.index < scenario.failing
        if fails and scenario.fails_from <= self.loop.time() < scenario.fails_to:
            seconds = scenario.hop / 2 + scenario.fail_time
            self.loop.call_later(seconds, job.promise.fail, UpstreamError("simulated"))
            return
        self.rows += job.request.rows
        self.queue.append(job)
        self._go_on()

    def _go_on(self) -> None:
        scenario = self.scenario
        while self.queue and self.running < scenario.parallelism:
            job = self.queue.popleft()
            if job.promise.done():
                self.rows -= job.request.rows
                continue
            self.running += 1
            rows = job.request.rows
            seconds = scenario.run * (scenario.fixed + (1 - scenario.fixed) * rows)
            if self.index >= scenario.endpoints - scenario.slow:
                seconds *= scenario.factor
            if scenario.spread:
                # With this mean the spread does not change the load.
                sigma = scenario.spread
                seconds *= self.rng.lognormvariate(-sigma * sigma / 2, sigma)
            self.loop.call_later(seconds, self._done, job, seconds)

    def _done(self, job: Job, seconds: float) -> None:
        self.running -= 1
        request = job.request
        self.rows -= request.rows
        if not job.promise.done():
            request.trace.infer = seconds
            request.trace.batch_rows = request.rows
            tensor = Tensor("x", "FP32", (request.rows, 1), request.inputs[0].data)
            job.line.answers(job.promise, InferResponse((tensor,)), self.held, request.rows)
        self._go_on()


class Line:
    """The transport of one gateway to one *worker*; see `gateway.upstream.transport.Transport`."""

    def __init__(self, worker: Worker, upcall: Upcall, reports: Any = None) -> None:  # noqa: ANN401 - as Link takes it
        self.address = f"simulated:{worker.index}"
        self._worker = worker
        self._upcall = upcall
        self._reports = reports
        self._hop = worker.scenario.hop / 2

    def __repr__(self) -> str:
        return f"<Line {self.address}>"

    def send(self, request: InferRequest) -> Promise[InferResponse]:
        """Have *request* arrive after half a hop."""
        worker = self._worker
        promise: Promise[InferResponse] = Promise(worker.loop)
        worker.loop.call_later(self._hop, worker.take, Job(request, promise, self))
        return promise

    def answers(
        self, promise: Promise[InferResponse], response: InferResponse, held: int, rows: int
    ) -> None:
        """Have *response* arrive after the other half."""
        self._worker.loop.call_later(self._hop, self._arrives, promise, response, held, rows)

    def _arrives(
        self, promise: Promise[InferResponse], response: InferResponse, held: int, rows: int
    ) -> None:
        if self._reports is not None:
            self._reports(self._upcall, held, rows)
        promise.answer(response)

    async def probe(self) -> float:
        """At once: what is simulated fails requests, not probes."""
        return 0.0

    def drop(self, reason: str) -> None:
        """Nothing to drop."""

    async def run(self) -> None:
        """Nothing to keep up."""
