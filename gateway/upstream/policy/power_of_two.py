# SPDX-License-Identifier: Apache-2.0
"""Power of two: the less loaded of two endpoints that are drawn at random."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from gateway.upstream.policy.seam import PolicyConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.upstream.policy.seam import Loaded


class PowerOfTwo:
    """Draws two different endpoints and takes the one with fewer rows for its weight.

    Two are drawn without putting the first one back: otherwise, of two endpoints, one time in four
    only the busier one would be looked at.
    """

    def __init__(self, *, rng: Random | None = None) -> None:
        self._random = (rng or Random()).random

    def __repr__(self) -> str:
        return "<PowerOfTwo>"

    def pick(self, ready: Sequence[Loaded], key: bytes = b"") -> int:  # noqa: ARG002 - the seam's
        """The index of the better one of two; the cost does not grow with the pool."""
        count = len(ready)
        if count == 1:
            return 0
        first = int(self._random() * count)
        second = int(self._random() * (count - 1))
        if second >= first:
            second += 1
        one, other = ready[first], ready[second]
        load = (one.pending_rows + 1) / one.weight
        other_load = (other.pending_rows + 1) / other.weight
        # Which of the two was drawn first is chance enough to break a tie.
        return first if load <= other_load else second


class PowerOfTwoConfig(PolicyConfig, frozen=True, tag="power_of_two"):
    """The less loaded of two workers drawn at random: for pools of hundreds."""

    def make(self, *, rng: Random, clock: Callable[[], float]) -> PowerOfTwo:  # noqa: ARG002 - as each
        """See PolicyConfig."""
        return PowerOfTwo(rng=rng)
