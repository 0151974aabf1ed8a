# SPDX-License-Identifier: Apache-2.0
"""Retry: a failed attempt is tried again, on another endpoint, while one budget lasts.

Why a budget and not only a number of attempts: when all endpoints fail, attempts multiply the
load on exactly those that cannot bear it. The budget bounds retries to a share of the traffic.
"""

from __future__ import annotations

import asyncio
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import (
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    PoisonInput,
    Shed,
    UpstreamError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.telemetry import Telemetry
    from gateway.wire.message import InferRequest, InferResponse, Service

# A worker that ends takes all its requests with it; one of them may be the cause. After so many
# deaths a request is believed to be it.
KILLS_OF_POISON: Final = 2
_SLOTS: Final = 10


class RetryBudget:
    """A leaky bucket: every request pays in, every retry takes ``1 / share`` of that out.

    Allows retries for *share* of the requests of the last *ttl* seconds, or *min_per_second* where
    that is more. Source: Finagle's and tower's retry budget (ttl 10 s in 10 slots, 20 %, 10 a
    second), but for the sum of the two, with which no share would bound the load of an outage.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = perf_counter,
        share: float = 0.2,
        min_per_second: float = 10.0,
        ttl: float = 10.0,
    ) -> None:
        self._clock = clock
        self._withdraw = 1 / share if share > 0 else 1.0
        self._deposit = 1.0 if share > 0 else 0.0
        self._reserve = min_per_second * ttl * self._withdraw
        self._slot_time = ttl / _SLOTS
        self._slots = [0.0] * _SLOTS
        self._spent = [0.0] * _SLOTS
        self._at = 0
        self._slot_from = clock()

    def __repr__(self) -> str:
        return f"<RetryBudget {self.balance:.0f} left>"

    @property
    def balance(self) -> float:
        """What may be withdrawn now, in deposits."""
        self._turn()
        return max(sum(self._slots), self._reserve) - sum(self._spent)

    def deposit(self) -> None:
        """A request, not a retry, goes out."""
        self._turn()
        self._slots[self._at] += self._deposit

    def withdraw(self) -> bool:
        """Take a retry out of the budget; False if it is empty."""
        if self.balance < self._withdraw:
            return False
        self._spent[self._at] += self._withdraw
        return True

    def _turn(self) -> None:
        late = self._clock() - self._slot_from
        if late < self._slot_time:
            return
        turns = int(late / self._slot_time)
        for _ in range(min(turns, _SLOTS)):
            self._at = (self._at + 1) % _SLOTS
            self._slots[self._at] = self._spent[self._at] = 0.0
        self._slot_from += turns * self._slot_time


class Retry:
    """Up to *attempts* tries of what is safe to try again: inference has no side effect, unless it
    is a step of a sequence.

    Back-off is full jitter up to ``base * 2^n`` (seconds, at most *most*), none after a failed
    connect. A merged request whose worker went away is not sent again as it is: `Batch` sends its
    members singly, so that a poisonous one is found out. A request that found no endpoint was not
    sent: it keeps its attempts, and those that it has used up stay used.
    """

    def __init__(
        self,
        inner: Service,
        *,
        model: str,
        telemetry: Telemetry,
        attempts: int = 2,
        budget: RetryBudget | None = None,
        base: float = 0.01,
        most: float = 0.1,
        rng: Random | None = None,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._inner = inner
        self._model = model
        self._telemetry = telemetry
        self._attempts = attempts
        self._budget = budget or RetryBudget()
        self._base = base
        self._most = most
        self._random = (rng or Random()).random
        self._sleep = sleep
        self._exhausted = telemetry.retry_budget_exhausted.cell(model)
        # Held by a request that may have killed a worker: alone in flight it cannot be mistaken.
        self._suspect = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Retry {self._attempts} attempts, {self._budget!r}>"

    async def __call__(self, request: InferRequest) -> InferResponse:
        """Answer *request*; raises the last attempt's error, or PoisonInput."""
        if not request.attempts:
            self._budget.deposit()
        while True:
            request.attempts += 1
            request.trace.attempts += 1
            try:
                if request.kills:
                    async with self._suspect:
                        return await self._inner(request)
                return await self._inner(request)
            except Shed:
                request.attempts -= 1
                request.trace.attempts -= 1
                raise
            except UpstreamError as error:
                self._judge(request, error)
                if not _may_repeat(request, error):
                    raise
                # Connect failures cost nothing, so one more of them is allowed.
                allowed = self._attempts + isinstance(error, ConnectFailed)
                if request.attempts >= allowed:
                    raise
                wait = 0.0
                if not isinstance(error, ConnectFailed | ConnectionLost):
                    most = min(self._base * 2**request.attempts, self._most)
                    wait = self._random() * most
                if perf_counter() + wait >= request.deadline:
                    raise DeadlineExceeded(f"no time left to try again after: {error}") from error
                if not self._budget.withdraw():
                    self._exhausted.value += 1
                    raise
                self._telemetry.retries.cell(self._model, error.code).value += 1
                if wait:
                    await self._sleep(wait)

    @staticmethod
    def _judge(request: InferRequest, error: UpstreamError) -> None:
        if not _blames(error):
            return
        request.kills += 1
        if request.kills >= KILLS_OF_POISON and request.members == 1:
            raise PoisonInput(
                f"{request.kills} workers went away while they had this request; "
                "it is not tried on another"
            ) from error


def _may_repeat(request: InferRequest, error: UpstreamError) -> bool:
    """Whether *request*, which met *error*, may be sent as it is once more."""
    if not error.retryable or (request.members > 1 and _blames(error)):
        return False
    # A worker that was reached may have taken a step of a sequence already.
    parameters = request.parameters
    return not (parameters and "sequence_id" in parameters) or isinstance(error, ConnectFailed)


def _blames(error: UpstreamError) -> bool:
    """Whether the request may be the cause of *error*."""
    return isinstance(error, ConnectionLost)
