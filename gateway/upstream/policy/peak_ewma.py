# SPDX-License-Identifier: Apache-2.0
"""Peak EWMA: the endpoint where an attempt is expected to be over first."""

from __future__ import annotations

from math import exp
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta

from gateway.units import Duration
from gateway.upstream.policy.seam import PolicyConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.upstream.policy.seam import Loaded

# What an attempt at an endpoint that has not answered yet is taken to last, in seconds. Idle, it
# costs nothing, so that each new one is asked once and then known.
UNKNOWN: Final = 1.0
_KEPT: Final = 4096


class PeakEwma:
    """The smallest ``estimate * (pending + 1) / weight``; ties are broken at random.

    The estimate of an endpoint's attempts (a pool has one model, so this is by endpoint and model)
    jumps to a longer one at once and forgets it with the time constant *decay* (seconds), also
    while nobody asks. Source: Finagle's and tower's peak EWMA.
    """

    def __init__(
        self,
        *,
        decay: float = 10.0,
        rng: Random | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._decay = decay
        self._random = (rng or Random()).random
        self._clock = clock
        # By name: the estimate, and the instant that it is of.
        self._estimates: dict[str, tuple[float, float]] = {}

    def __repr__(self) -> str:
        return f"<PeakEwma {self._estimates}>"

    def attempted(self, name: str, seconds: float, *, good: bool) -> None:
        """Learn from an attempt; one that failed may be slow, but is never taken for quick."""
        now = self._clock()
        known = self._estimates.get(name)
        if known is None:
            if not good:
                return
            if len(self._estimates) >= _KEPT:
                self._estimates.clear()
            self._estimates[name] = (seconds, now)
            return
        estimate, at = known
        if seconds > estimate:
            self._estimates[name] = (seconds, now)
        elif good:
            kept = exp((at - now) / self._decay)
            self._estimates[name] = (estimate * kept + seconds * (1 - kept), now)

    def pick(self, ready: Sequence[Loaded], key: bytes = b"") -> int:  # noqa: ARG002 - the seam's
        """The index of the endpoint with the least cost; O(n) in the size of the pool."""
        now, decay, estimates = self._clock(), self._decay, self._estimates
        best, best_cost, ties = 0, float("inf"), 0
        for index, endpoint in enumerate(ready):
            pending = endpoint.pending
            known = estimates.get(endpoint.name)
            if known is None:
                expected = UNKNOWN if pending else 0.0
            else:
                expected = known[0] * exp((known[1] - now) / decay)
            cost = expected * (pending + 1) / endpoint.weight
            if cost < best_cost:
                best, best_cost, ties = index, cost, 1
            elif cost == best_cost:
                ties += 1
                if self._random() * ties < 1:
                    best = index
        return best


class PeakEwmaConfig(PolicyConfig, frozen=True, tag="peak_ewma"):
    """The shortest expected time: of late, times what is pending; for workers of unequal speed."""

    decay: Annotated[
        Duration,
        Meta(
            ge=0.001,
            description=(
                "How long a slow answer is remembered: after this time its weight is a third. "
                "Danger: below the time between two answers of a worker it knows nothing of it."
            ),
        ),
    ] = 10.0

    def make(self, *, rng: Random, clock: Callable[[], float]) -> PeakEwma:
        """See PolicyConfig."""
        return PeakEwma(decay=self.decay, rng=rng, clock=clock)
