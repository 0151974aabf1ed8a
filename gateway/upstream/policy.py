# SPDX-License-Identifier: Apache-2.0
"""Policies: which of the ready endpoints gets the next request.

The pool filters, a policy picks: it never sees an endpoint that is not ready.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Loaded(Protocol):
    """What a policy may look at: rows *pending* at an endpoint, and its *weight*."""

    @property
    def pending_rows(self) -> int:
        """Rows sent and not answered."""
        ...

    @property
    def weight(self) -> float:
        """The share that the operator gave it, 1 by default."""
        ...


class Policy(Protocol):
    """The seam: one decision over at least one endpoint, without I/O."""

    def pick(self, ready: Sequence[Loaded]) -> int:
        """The index in *ready* of the endpoint to use; *ready* is never empty."""
        ...


class LeastOutstanding:
    """The smallest ``(pending + 1) / weight``, by an exact scan; ties are broken at random.

    With the index as tie-break the first endpoint would be the hottest at low load.
    """

    def __init__(self, *, rng: Random | None = None) -> None:
        # A balancing decision is no secret, and the cryptographic source costs ten times as much.
        self._random = (rng or Random()).random

    def __repr__(self) -> str:
        return "<LeastOutstanding>"

    def pick(self, ready: Sequence[Loaded]) -> int:
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


POLICIES: Final[dict[str, Callable[[], Policy]]] = {
    "least_outstanding": LeastOutstanding,
    "least_connections": LeastOutstanding,
}
