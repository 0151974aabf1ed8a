# SPDX-License-Identifier: Apache-2.0
"""What policies are compared with and nobody should use."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from gateway.upstream.policy import Loaded, Policy


class RandomChoice:
    """Any of the ready endpoints, in proportion to its weight."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def __repr__(self) -> str:
        return "<RandomChoice>"

    def pick(self, ready: Sequence[Loaded], key: bytes = b"") -> int:  # noqa: ARG002 - the seam's
        """An index by chance."""
        (index,) = self._rng.choices(range(len(ready)), [each.weight for each in ready])
        return index


BASELINES: Final[dict[str, Callable[[Random], Policy]]] = {"random": RandomChoice}
