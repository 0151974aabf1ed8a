# SPDX-License-Identifier: Apache-2.0
"""Label requests: the rows whose label can change a decision, and a few at random beside them.

Rows on which two models say the same tell nothing about which is better, whatever is true of them.
How right either is takes labels of rows that nobody has picked: those at random.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from gateway.wire.samples import Column, Samples

# Rows that wait of each kind; the oldest are given up.
MOST: Final = 1000
# Rows that one message adds of each kind: the newest do, and the loop must not wait for more.
AT_ONCE: Final = 100
# The share of pairs that is chosen at random.
AT_RANDOM: Final = 0.01


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """Row *row* of the inference *id* of *tenant*, at *time* in seconds since the epoch.

    *live* and *candidate* are what was predicted, as places among the classes or sets of labels.
    *pi* is the probability with which the row was chosen, out of all traffic.
    """

    id: str
    row: int
    tenant: str
    time: float
    live: int
    candidate: int
    pi: float
    reason: Literal["differs", "random"]

    @property
    def key(self) -> tuple[str, str, int]:
        """Which prediction it is."""
        return self.tenant, self.id, self.row


class LabelRequests:
    """Rows of *model* to be labelled, the newest ones of each kind."""

    def __init__(self, model: str, *, random: Random) -> None:
        self.model = model
        self._random = np.random.default_rng(random.getrandbits(64))
        self._waiting: dict[str, OrderedDict[tuple[str, str, int], LabelRequest]] = {
            "differs": OrderedDict(),
            "random": OrderedDict(),
        }

    def __repr__(self) -> str:
        return f"<LabelRequests {self.model} {len(self)} rows>"

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def offer(self, samples: Samples, live: Column, candidate: Column, *, since: float) -> None:
        """Choose among the rows of *samples*, which *live* and *candidate* were said of."""
        recent = samples.times >= since
        differs = recent & (live != candidate)
        drawn = recent & (self._random.random(len(samples)) < AT_RANDOM)
        for chosen, reason, share in (
            (np.flatnonzero(drawn), "random", AT_RANDOM),
            (np.flatnonzero(differs), "differs", 1.0),
        ):
            for place in chosen[-AT_ONCE:].tolist():
                self._add(
                    LabelRequest(
                        id=samples.ids[place],
                        row=int(samples.rows[place]),
                        tenant=samples.tenants[int(samples.tenant[place])],
                        time=float(samples.times[place]),
                        live=int(live[place]),
                        candidate=int(candidate[place]),
                        pi=float(samples.pi[place]) * share,
                        reason="random" if reason == "random" else "differs",
                    )
                )

    def _add(self, request: LabelRequest) -> None:
        waiting = self._waiting[request.reason]
        waiting[request.key] = request
        if len(waiting) > MOST:
            waiting.popitem(last=False)

    def listed(self, limit: int) -> list[LabelRequest]:
        """Up to *limit*, the newest first, one of ten of them at random."""
        random = [*self._waiting["random"].values()][::-1]
        differing = [*self._waiting["differs"].values()][::-1]
        few = min(len(random), max(limit // 10, limit - len(differing)))
        return differing[: limit - few] + random[:few]

    def keys(self) -> list[tuple[str, str, int]]:
        """Which rows wait."""
        return [key for waiting in self._waiting.values() for key in waiting]

    def drop(self, keys: Iterable[tuple[str, str, int]]) -> None:
        """These rows have a label."""
        for key in keys:
            for waiting in self._waiting.values():
                waiting.pop(key, None)
