# SPDX-License-Identifier: Apache-2.0
"""Least outstanding: the endpoint that has the least to do for its weight."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from gateway.upstream.policy.seam import PolicyConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.upstream.policy.seam import Loaded


class LeastOutstanding:
    """The smallest ``(pending rows + 1) / weight``, by an exact scan; ties are broken at random.

    With the index as tie-break the first endpoint would be the hottest at low load.
    """

    def __init__(self, *, rng: Random | None = None) -> None:
        # A balancing decision is no secret, and the cryptographic source costs ten times as much.
        self._random = (rng or Random()).random

    def __repr__(self) -> str:
        return "<LeastOutstanding>"

    def pick(self, ready: Sequence[Loaded], key: bytes = b"") -> int:  # noqa: ARG002 - the seam's
        """The index of the least loaded; O(n) in the size of the pool."""
        best, best_load, ties = 0, float("inf"), 0
        for index, endpoint in enumerate(ready):
            load = (endpoint.pending_rows + 1) / endpoint.weight
            if load < best_load:
                best, best_load, ties = index, load, 1
            elif load == best_load:
                # Reservoir sampling: the k-th tie replaces the candidate with probability 1/k.
                ties += 1
                if self._random() * ties < 1:
                    best = index
        return best


class LeastOutstandingConfig(PolicyConfig, frozen=True, tag="least_outstanding"):
    """The fewest rows that were sent and not answered, for the weight; ties at random."""

    def make(self, *, rng: Random, clock: Callable[[], float]) -> LeastOutstanding:  # noqa: ARG002 - as each
        """See PolicyConfig."""
        return LeastOutstanding(rng=rng)
