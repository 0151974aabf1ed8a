# SPDX-License-Identifier: Apache-2.0
"""Round robin: one endpoint after the other, each as often as its weight says."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from gateway.upstream.policy.seam import PolicyConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.upstream.policy.seam import Loaded

# Endpoints that are remembered; a pool has fewer, but names may come and go for months.
_KEPT: Final = 4096


class RoundRobin:
    """Start-time fair queueing: each pick moves an endpoint's next turn on by ``1 / weight``.

    Unlike a list with a position it stays fair while the list changes with every call, because
    full endpoints are not in it. One that was away has no turns to catch up on.
    """

    def __init__(self, *, rng: Random | None = None) -> None:
        self._random = (rng or Random()).random
        self._now = 0.0
        self._count = 0
        # By name: the next turn, and when the last one was, which breaks ties.
        self._turns: dict[str, tuple[float, float]] = {}

    def __repr__(self) -> str:
        return f"<RoundRobin of {len(self._turns)}>"

    def pick(self, ready: Sequence[Loaded], key: bytes = b"") -> int:  # noqa: ARG002 - the seam's
        """The index of the endpoint whose turn it is; O(n) in the size of the pool."""
        turns, now = self._turns, self._now
        best, best_turn = 0, (float("inf"), 0.0)
        for index, endpoint in enumerate(ready):
            known = turns.get(endpoint.name)
            if known is None:
                # At random before all that had a turn: processes do not go round in step.
                known = turns[endpoint.name] = (now, self._random() - 1)
            turn = known if known[0] >= now else (now, known[1])
            if turn < best_turn:
                best, best_turn = index, turn
        chosen = ready[best]
        self._now = best_turn[0]
        self._count += 1
        if len(turns) > _KEPT:
            turns.clear()
        turns[chosen.name] = (best_turn[0] + 1 / chosen.weight, float(self._count))
        return best


class RoundRobinConfig(PolicyConfig, frozen=True, tag="round_robin"):
    """One worker after the other, by weight, whatever each has to do."""

    def make(self, *, rng: Random, clock: Callable[[], float]) -> RoundRobin:  # noqa: ARG002 - as each
        """See PolicyConfig."""
        return RoundRobin(rng=rng)
