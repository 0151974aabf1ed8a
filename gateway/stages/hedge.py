# SPDX-License-Identifier: Apache-2.0
"""Hedge: a second attempt, on an idle endpoint, for one that takes unusually long.

Source: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013: hedged requests.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import deque
from copy import copy
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.drive import Drive
from gateway.errors import ConnectionLost
from gateway.promise import Promise
from gateway.wire.message import NEVER, Trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.stages.retry_budget import RetryBudget
    from gateway.telemetry import SumCell, Telemetry
    from gateway.upstream.pool import Pool
    from gateway.wire.message import InferRequest, InferResponse, Service

_WINDOW: Final = 128
# Durations that must be known before any is called unusual.
_LEAST: Final = 32
_DECAY: Final = 0.999


class Typical:
    """The *percentile* of the latest durations."""

    def __init__(self, percentile: float) -> None:
        self._share = percentile / 100
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []

    def __repr__(self) -> str:
        return f"<Typical {self.seconds * 1e3:.3f} ms of {len(self._latest)}>"

    @property
    def seconds(self) -> float:
        """The percentile; infinite while too little is known."""
        known = self._sorted
        return known[int(self._share * len(known))] if len(known) >= _LEAST else NEVER

    def observe(self, seconds: float) -> None:
        """Take a duration, and forget the oldest."""
        self._latest.append(seconds)
        insort(self._sorted, seconds)
        if len(self._latest) > _WINDOW:
            self._sorted.remove(self._latest.popleft())


class Hedge:
    """Sends a request once more when it is slower than *percentile* of those before it.

    Only to an endpoint that has nothing to do, at most once, not before *min_delay* seconds, and
    for no more than *max_extra_load* of the attempts; what it sends spends *budget*, which retries
    spend too. The first answer counts and the other attempt is cancelled; if one fails the other
    decides. Steps of a sequence, and requests that may have killed a worker, are never hedged.
    """

    def __init__(
        self,
        inner: Service,
        *,
        model: str,
        pool: Pool,
        telemetry: Telemetry,
        budget: RetryBudget,
        percentile: float = 95.0,
        min_delay: float = 0.001,
        max_extra_load: float = 0.01,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._inner = inner
        self._pool = pool
        self._budget = budget
        self._typical = Typical(percentile)
        self._min_delay = min_delay
        self._max_extra_load = max_extra_load
        self._clock = clock
        self._attempts = self._hedges = 0.0
        self._won = telemetry.hedges.cell(model, "true")
        self._lost = telemetry.hedges.cell(model, "false")

    def __repr__(self) -> str:
        return f"<Hedge {self._typical!r}>"

    async def __call__(self, request: InferRequest) -> InferResponse:
        """The first answer; raises what the first attempt raised when none has answered."""
        started = self._clock()
        self._attempts = self._attempts * _DECAY + 1
        self._hedges *= _DECAY
        delay = max(self._typical.seconds, self._min_delay)
        parameters = request.parameters
        if delay == NEVER or request.kills or (parameters and "sequence_id" in parameters):
            response = await self._inner(request)
        else:
            response = await self._raced(request, delay)
        self._typical.observe(self._clock() - started)
        return response

    async def _raced(self, request: InferRequest, delay: float) -> InferResponse:
        loop = asyncio.get_running_loop()
        race = Race(loop, self._inner, request)
        timer = loop.call_later(delay, self._hedge, race)
        try:
            race.start(request)
            return await race.result
        finally:
            timer.cancel()
            race.end(self._won, self._lost)

    def _hedge(self, race: Race) -> None:
        """Send a second attempt, if an endpoint is idle and there is something left to spend."""
        request = race.request
        busy = [e.name for e in self._pool.endpoints if e.busy or not e.healthy]
        idle = len(busy) < len(self._pool.endpoints)
        if not idle or self._hedges + 1 > max(1.0, self._max_extra_load * self._attempts):
            return
        if not self._budget.withdraw(race.request.members):
            return
        self._hedges += 1
        second = copy(request)
        second.trace = Trace()
        second.avoid = (*request.avoid, *busy)
        race.start(second)


class Race:
    """One or two attempts at *request*; *result* is the answer of the first that has one."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, service: Service, request: InferRequest
    ) -> None:
        self.request = request
        self.result: Promise[InferResponse] = Promise(loop)
        self._service = service
        self._running: dict[int, Drive[InferResponse]] = {}
        self._requests: list[InferRequest] = []
        self._error: BaseException | None = None
        self._winner = 0

    def __repr__(self) -> str:
        return f"<Race of {len(self._requests)}, {len(self._running)} running>"

    def start(self, request: InferRequest) -> None:
        """Send *request*, the first one or its double."""
        if not self.result.waits:
            return
        number = len(self._requests)
        self._requests.append(request)
        drive: Drive[InferResponse] = Drive(partial(self._ended, number))
        self._running[number] = drive
        drive.call(self._service, request)

    def _ended(
        self, number: int, response: InferResponse | None, error: BaseException | None
    ) -> None:
        self._running.pop(number, None)
        if response is not None:
            if number and self.result.waits:
                self._winner = number
                self.request.trace.take_over(self._requests[number].trace)
            self.result.answer(response)
            return
        if isinstance(error, ConnectionLost) and self._running:
            # The other one decides, but whoever judges must know of this death.
            self.request.kills += 1
        if self._error is None or not number:
            self._error = error
        if not self._running and self._error is not None:
            self.result.fail(self._error)

    def end(self, won: SumCell, lost: SumCell) -> None:
        """Whatever still runs is of no use any more."""
        if len(self._requests) > 1:
            (won if self._winner else lost).value += 1
        for drive in list(self._running.values()):
            drive.cancel()
