# SPDX-License-Identifier: Apache-2.0
"""Quarantine: a question that took two workers down is refused for a while, whoever asks it."""

from __future__ import annotations

import os
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeAlias

from gateway.errors import PoisonInput
from gateway.stages.cache_key import CacheKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.telemetry import Telemetry
    from gateway.wire.message import InferRequest

Likeness: TypeAlias = tuple[int, bytes]

# Each of them has cost two workers, so that more than this are not to be expected.
MOST: Final = 1024
# Bytes of a tensor that are compared before it is hashed as a whole.
_GLIMPSE: Final = 64


class Quarantine:
    """Digests of questions to *model*, each for *seconds*; 0 takes none in.

    Holds *most* of them, and lets the oldest go for another. Questions are the same where all is
    the same that can change an answer: see `CacheKey`. A question is not hashed while nothing that
    begins like it is in here.
    """

    def __init__(
        self,
        *,
        model: str,
        telemetry: Telemetry,
        seconds: float = 60.0,
        most: int = MOST,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.seconds = seconds
        self._most = most
        self._clock = clock
        # A secret of this life: nobody can find another question with the digest of one in here.
        self._key = CacheKey(model, secret=os.urandom(32))
        # In the order of their ends, unless a reload has changed how long they stay.
        self._held: dict[bytes, tuple[float, Likeness]] = {}
        self._alike: set[Likeness] = set()
        self._added = telemetry.quarantine.cell(model, "added")
        self._refused = telemetry.quarantine.cell(model, "refused")

    def __repr__(self) -> str:
        return f"<Quarantine of {len(self._held)}>"

    def __len__(self) -> int:
        """How many digests it holds, those included whose time is over since the last check."""
        return len(self._held)

    def add(self, request: InferRequest) -> None:
        """Refuse the question of *request* from now on."""
        if not self.seconds:
            return
        digest = self._key(request, b"")
        self._held.pop(digest, None)
        while len(self._held) >= self._most:
            del self._held[next(iter(self._held))]
        self._held[digest] = (self._clock() + self.seconds, _likeness(request))
        self._alike = {likeness for _, likeness in self._held.values()}
        self._added.value += 1

    def check(self, request: InferRequest) -> None:
        """Raise PoisonInput where *request* asks what is in quarantine."""
        now = self._clock()
        self._release(now)
        if not self._held or _likeness(request) not in self._alike:
            return
        known = self._held.get(self._key(request, b""))
        if known is not None and known[0] > now:
            self._refused.value += 1
            raise PoisonInput(
                "two workers went away while they had the same input; it is not tried again "
                f"for {known[0] - now:.0f} s"
            )

    def _release(self, now: float) -> None:
        over = []
        for digest, (until, _) in self._held.items():
            if until > now:
                break
            over.append(digest)
        if over:
            for digest in over:
                del self._held[digest]
            self._alike = {likeness for _, likeness in self._held.values()}


def _likeness(request: InferRequest) -> Likeness:
    """What equal questions have in common, and what is quickly found."""
    inputs = request.inputs
    if not inputs:
        return 0, b""
    first = min(inputs, key=lambda tensor: tensor.name)
    return sum([tensor.nbytes for tensor in inputs]), bytes(first.data[:_GLIMPSE])
