# SPDX-License-Identifier: Apache-2.0
"""GatewayBench: tries a setting on a real gateway, under load from the outside.

First the answers: a setting whose accuracy the gate refuses is not timed. Then the capacity, by a
closed loop, and open loops at growing shares of it, for latency from the intended send; the highest
rate at which the objective is kept gives the throughput.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

import msgspec
import numpy as np

from gateway.lab import LabError, passes
from gateway.lab.answers import prediction_of
from gateway.lab.client import Client
from gateway.lab.gate import Answers, Verdict, judge
from gateway.lab.load.fleet import Fleet
from gateway.lab.load.measure import measure
from gateway.lab.load.run import Plan, Run
from gateway.lab.tune.gateway_process import GatewayProcess
from gateway.lab.tune.measured import Measured, Objective

if TYPE_CHECKING:
    from types import TracebackType

    from gateway.lab.dataset import Dataset
    from gateway.lab.load.run import Protocol
    from gateway.lab.tune.document import Document
    from gateway.lab.tune.measured import Report
    from gateway.lab.tune.setting import Setting

# Shares of the capacity that are offered, one after the other. Above nine tenths a queue is as long
# as chance has it, and below half all settings look alike.
SHARES: Final = (0.5, 0.65, 0.8, 0.9)
# Where the first of them breaks the objective already.
FALLBACK: Final = 0.25
# How often a setting is tried that fails.
ATTEMPTS: Final = 2
# Of each window, before it counts.
_WARMUP: Final = 0.3
# Requests in flight while answers are compared, at most, in batches of random sizes.
_CONCURRENCY: Final = 16
_SEED: Final = 1


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long a setting is loaded: *window* seconds at each rate.

    *concurrency* requests in flight find the capacity. *batch* rows are in a request. *repeat* is
    the share of requests that were asked before. *shares* of the capacity are offered in turn.
    """

    window: float = 2.0
    concurrency: int = 32
    batch: int = 1
    protocol: Protocol = "v2-json"
    repeat: float = 0.0
    shares: tuple[float, ...] = SHARES


class GatewayBench:
    """A *document* whose settings are tried; a ``with`` owns the generating processes.

    *models* has the path of the model in each other precision. *dataset* has the rows that judge
    all settings, *labelled* or not; *data* is the file with inputs for the load. *margin* and
    *alpha* are the gate's, *start* is the setting that the others are held to.
    """

    def __init__(
        self, document: Document, objective: Objective, pace: Pace, *,
        start: Setting, models: dict[str, str], dataset: Dataset, labelled: bool, data: str,
        margin: float, alpha: float, output: str | None = None,
    ) -> None:  # fmt: skip
        self._document = document
        self._objective = objective
        self._pace = pace
        self._start = start
        self._models = models
        self._dataset = dataset
        self._labels = dataset.labels if labelled else None
        self._data = data
        self._margin = margin
        self._alpha = alpha
        self._output = output
        self._reference: Answers | None = None
        self._runner = asyncio.Runner()
        self._fleet: Fleet | None = None
        self._seed = _SEED

    def __repr__(self) -> str:
        return f"<GatewayBench {self._document!r}>"

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._fleet is not None:
                self._runner.run(self._fleet.__aexit__(kind, error, trace))
        finally:
            self._runner.__exit__(kind, error, trace)

    def measure(self, setting: Setting, report: Report | None = None) -> Measured:
        """What *setting* gives; raises LabError where nothing can be measured at all."""
        return self._runner.run(self._measure(setting, report))

    async def _measure(self, setting: Setting, report: Report | None) -> Measured:
        """Twice where it fails: a machine that others use is out of breath now and then.

        What fails again is no reason to end a search, unless it is all that there is.
        """
        began = monotonic()
        found = Measured()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                found = await self._once(setting, report)
                break
            except LabError as error:
                if attempt == ATTEMPTS and self._reference is None:
                    raise
                found = Measured(failed=str(error))
        return msgspec.structs.replace(found, seconds=monotonic() - began)

    async def _once(self, setting: Setting, report: Report | None) -> Measured:
        if self._reference is None and setting != self._start:
            async with GatewayProcess(self._text(self._start)) as gateway:
                self._reference = await self._answers(gateway.url, shuffled=False)
        async with GatewayProcess(self._text(setting)) as gateway:
            if self._reference is None:
                self._reference = await self._answers(gateway.url, shuffled=False)
            verdict = self._judged(await self._answers(gateway.url, shuffled=True), setting)
            found = Measured(accuracy=verdict.after, verdict=verdict)
            if verdict.passed:
                return await self._loaded(gateway, found, report)
            return msgspec.structs.replace(found, refused=verdict.sentence, memory=gateway.memory)

    def _text(self, setting: Setting) -> str:
        return self._document.trial(setting, self._models.get(setting.precision))

    async def _answers(self, url: str, *, shuffled: bool) -> Answers:
        """What the gateway says of all rows.

        *shuffled*: in a random order, in batches of random sizes.
        """
        parts = (
            passes.shuffled(self._dataset, np.random.default_rng(_SEED))
            if shuffled
            else passes.in_order(self._dataset)
        )
        concurrency = min(_CONCURRENCY, self._pace.concurrency)
        async with Client(url, self._document.model, connections=concurrency) as client:
            _, outputs = await client.specs()
            prediction = prediction_of(
                outputs, self._output, bare=self._dataset.bare, task=self._dataset.task
            )
            told = await passes.send(
                client, self._dataset, prediction,
                parts=parts, concurrency=concurrency, done=lambda _: None,
            )  # fmt: skip
        return Answers(told.predicted, told.scores)

    def _judged(self, answers: Answers, setting: Setting) -> Verdict:
        if self._reference is None:
            raise LabError("there are no answers to compare with")
        return judge(
            self._reference, answers, self._labels, self._dataset.task,
            margin=self._margin, alpha=self._alpha,
            same_model=setting.precision == self._start.precision,
        )  # fmt: skip

    async def _loaded(
        self, gateway: GatewayProcess, found: Measured, report: Report | None
    ) -> Measured:
        """Rate after rate until the objective is broken or *report* ends it."""
        closed = await self._run(gateway.url, rate=0.0)
        found = msgspec.structs.replace(found, capacity=closed.throughput, memory=gateway.memory)
        if not closed.ok:
            return found
        windows: list[tuple[float, float, float]] = []
        best = latency = 0.0
        pruned = False
        shares = list(self._pace.shares)
        while shares:
            run = await self._run(gateway.url, rate=shares.pop(0) * closed.throughput)
            seen = run.percentile(self._objective.percentile)
            goodput = run.goodput(self._objective.slo.within)
            windows.append((run.offered_rate, goodput, seen))
            if self._objective.met(run):
                best, latency = max(best, run.throughput), seen
            else:
                shares = [FALLBACK] if len(windows) == 1 else []
            latency = latency or seen
            if report is not None and not report(len(windows) - 1, goodput) and shares:
                pruned = True
                break
        return msgspec.structs.replace(
            found, throughput=best, latency=latency, memory=gateway.memory, windows=windows,
            pruned=pruned,
        )  # fmt: skip

    async def _run(self, url: str, *, rate: float) -> Run:
        """One window: open at *rate*, or closed where that is 0."""
        if self._fleet is None:
            self._fleet = await Fleet().__aenter__()
        self._seed += 1
        pace = self._pace
        plan = Plan(
            url=url, model=self._document.model, protocol=pace.protocol, batch=pace.batch,
            schedule="poisson" if rate else "closed", rate=rate, concurrency=pace.concurrency,
            duration=pace.window, warmup=_WARMUP, repeat=pace.repeat, seed=self._seed,
            timeout=max(1.0, 10 * self._objective.slo.within), processes=1,
        )  # fmt: skip
        return await measure(plan, self._data, fleet=self._fleet)
