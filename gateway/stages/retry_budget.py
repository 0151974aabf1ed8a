# SPDX-License-Identifier: Apache-2.0
"""RetryBudget: how much of a model's traffic may be sent a second time.

Why a budget and not only a number of attempts: when all endpoints fail, attempts multiply the
load on exactly those that cannot bear it. The budget bounds retries to a share of the traffic.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.errors import GatewayError
    from gateway.telemetry import Telemetry

_SLOTS: Final = 10


class RetryBudget:
    """A leaky bucket: every request pays in, every retry takes ``1 / share`` of that out.

    A batch counts as often as it has members: what it pays in, and what sending it again costs.

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

    def deposit(self, requests: int = 1) -> None:
        """So many requests go out, none of them again."""
        self._turn()
        self._slots[self._at] += requests * self._deposit

    def withdraw(self, requests: int = 1) -> bool:
        """Take the retries of so many requests out of the budget, or none of them: False."""
        price = requests * self._withdraw
        if self.balance < price:
            return False
        self._spent[self._at] += price
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


class Spending:
    """What *budget* allows the requests for *model*, counted."""

    def __init__(self, budget: RetryBudget, *, model: str, telemetry: Telemetry) -> None:
        self._budget = budget
        self._model = model
        self._retries = telemetry.retries
        self._exhausted = telemetry.retry_budget_exhausted.cell(model)

    def __repr__(self) -> str:
        return f"<Spending of {self._budget!r}>"

    def allows(self, error: GatewayError, requests: int = 1) -> bool:
        """Whether so many requests, which met *error*, may be sent again; if so it is paid for."""
        if not self._budget.withdraw(requests):
            self._exhausted.value += requests
            return False
        self._retries.cell(self._model, error.code).value += requests
        return True
