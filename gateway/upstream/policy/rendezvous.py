# SPDX-License-Identifier: Apache-2.0
"""Rendezvous hashing: where a key belongs, so that few keys move when endpoints come and go.

Every process finds the same place without having told the others anything. A ring would need to
be built anew whenever the list of the ready changes, which is with every request.
"""

from __future__ import annotations

from hashlib import blake2b
from math import log
from typing import Final

_MASK: Final = (1 << 64) - 1
_KEPT: Final = 4096


class Rendezvous:
    """Scores each name for a key; a key belongs where its score is highest."""

    __slots__ = ("_seeds",)

    def __init__(self) -> None:
        self._seeds: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Rendezvous of {len(self._seeds)}>"

    def score(self, name: str, key: int, weight: float) -> float:
        """How well *key*, 64 bits as `hashed` gives them, fits *name*.

        Over many keys each name is the best for a share of them in proportion to its *weight*.
        """
        seed = self._seeds.get(name)
        if seed is None:
            if len(self._seeds) >= _KEPT:
                self._seeds.clear()
            seed = self._seeds[name] = hashed(name.encode())
        # The finish of splitmix64: every bit of both has a part in every bit of the result.
        mixed = ((key ^ seed) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        mixed ^= mixed >> 31
        return -weight / log((mixed + 1) / (_MASK + 2))


def hashed(key: bytes) -> int:
    """*key* as 64 bits."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "little")
