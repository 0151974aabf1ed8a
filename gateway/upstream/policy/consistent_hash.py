# SPDX-License-Identifier: Apache-2.0
"""Consistent hash: equal keys go to the same endpoint, unless that one has too much to do."""

from __future__ import annotations

from math import ceil
from random import Random
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from gateway.upstream.policy.least_outstanding import LeastOutstanding
from gateway.upstream.policy.rendezvous import Rendezvous, hashed
from gateway.upstream.policy.seam import PolicyConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.upstream.policy.seam import Loaded


class ConsistentHash:
    """Rendezvous hashing with bounded load; what has no key goes by least outstanding.

    No endpoint is given more than *factor* times its share of the rows that are pending, rounded
    up; above that a key goes to its next best endpoint, which is always the same one too.
    Source: Mirrokni, Thorup and Zadimoghaddam, consistent hashing with bounded loads.
    """

    def __init__(
        self, *, header: str = "", factor: float = 1.25, rng: Random | None = None
    ) -> None:
        self.header = header.lower()
        self._factor = factor
        self._rendezvous = Rendezvous()
        self._otherwise = LeastOutstanding(rng=rng)

    def __repr__(self) -> str:
        return f"<ConsistentHash {self.header or 'question'} factor={self._factor:g}>"

    def pick(self, ready: Sequence[Loaded], key: bytes = b"") -> int:
        """The index of the best endpoint for *key* that has room; O(n) in the size of the pool."""
        if not key:
            return self._otherwise.pick(ready)
        place, score = hashed(key), self._rendezvous.score
        rows = weights = 0.0
        for endpoint in ready:
            rows += endpoint.pending_rows
            weights += endpoint.weight
        allowed = self._factor * (rows + 1) / weights
        best, best_score = -1, 0.0
        for index, endpoint in enumerate(ready):
            if endpoint.pending_rows < ceil(allowed * endpoint.weight):
                fits = score(endpoint.name, place, endpoint.weight)
                if fits > best_score:
                    best, best_score = index, fits
        # Rounding can leave nobody below a bound that is at least the mean.
        return best if best >= 0 else self._otherwise.pick(ready)


class ConsistentHashConfig(PolicyConfig, frozen=True, tag="consistent_hash"):
    """Equal keys go to the same worker, unless it has more than its share to do."""

    header: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]*$",
            max_length=256,
            description=(
                "The request header whose value is the key; requests without it go by least "
                'outstanding. "": the question itself, as the cache would know it again. '
                "Danger: only requests with the same key share a batch."
            ),
        ),
    ] = ""
    factor: Annotated[
        float,
        Meta(
            ge=1,
            le=100,
            description=(
                "How much more than its share of the pending rows a worker may have before its "
                "keys go elsewhere. Danger: 1 moves keys all the time; far above 2 one hot key "
                "can overload its worker."
            ),
        ),
    ] = 1.25

    def make(self, *, rng: Random, clock: Callable[[], float]) -> ConsistentHash:  # noqa: ARG002 - as each
        """See PolicyConfig."""
        return ConsistentHash(header=self.header, factor=self.factor, rng=rng)
