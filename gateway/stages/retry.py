# SPDX-License-Identifier: Apache-2.0
"""Retry: a failed attempt is tried again, on another endpoint, while one budget lasts."""

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
from gateway.stages.retry_budget import RetryBudget, Spending

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.telemetry import Telemetry
    from gateway.wire.message import InferRequest, InferResponse, Service

# A worker that ends takes all its requests with it; one of them may be the cause. After so many
# deaths a request is believed to be it.
KILLS_OF_POISON: Final = 2


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
        self._attempts = attempts
        self._budget = budget or RetryBudget()
        self._spending = Spending(self._budget, model=model, telemetry=telemetry)
        self._base = base
        self._most = most
        self._random = (rng or Random()).random
        self._sleep = sleep
        # Held by a request that may have killed a worker: alone in flight it cannot be mistaken.
        self._suspect = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Retry {self._attempts} attempts, {self._budget!r}>"

    async def __call__(self, request: InferRequest) -> InferResponse:
        """Answer *request*; raises the last attempt's error, or PoisonInput."""
        if not request.attempts:
            self._budget.deposit(request.members)
        while True:
            request.attempts += 1
            request.trace.attempts += 1
            try:
                if request.kills:
                    async with self._suspect:
                        return await self._inner(request)
                return await self._inner(request)
            except Shed:
                self._was_not_sent(request)
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
                if not self._spending.allows(error, request.members):
                    raise
                if wait:
                    await self._sleep(wait)

    def _was_not_sent(self, request: InferRequest) -> None:
        request.attempts -= 1
        request.trace.attempts -= 1
        if not request.attempts:
            # It pays in when it is sent.
            self._budget.deposit(-request.members)

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
