# SPDX-License-Identifier: Apache-2.0
"""Repeat: a cached answer that the very same bytes may be given again, past the stages.

Whoever asks with the same head and the same body gets what the stages would give it, while nothing
has changed that they go by. Each of them that does something for every request has its part here:
`Cache` finds and counts, `Infer` knows the model, `Observe` counts the request. A stage that has to
see each request itself forbids it: then there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.exchange import Counted
    from gateway.stages.infer import Served
    from gateway.stages.payoff import Payoff
    from gateway.stages.questions import Questions
    from gateway.stages.shelf import Cached
    from gateway.stages.upkeep import Upkeep
    from gateway.stores.memory import Entry
    from gateway.telemetry.cells import SumCell
    from gateway.wire.model import ModelInfo


class CachedRepeat:
    """The answer under *key*, as long as it is the same entry and fresh.

    *find* looks an entry up at an instant. The others are what `Cache` does for a hit.
    """

    __slots__ = (
        "_cached", "_epoch", "_find", "_hits", "_info", "_key", "_models", "_name", "_observe",
        "_payoff", "_questions", "_saved", "_upkeep", "age", "body", "left",
        "requests", "seconds",
    )  # fmt: skip

    def __init__(
        self,
        key: bytes,
        cached: Cached,
        *,
        find: Callable[[bytes, float], Entry[Cached] | None],
        hits: SumCell,
        saved: SumCell,
        observe: Callable[[float], None],
        payoff: Payoff,
        upkeep: Upkeep,
    ) -> None:
        self._key = key
        self._cached = cached
        self._find = find
        self._hits = hits
        self._saved = saved
        self._observe = observe
        self._payoff = payoff
        self._upkeep = upkeep
        self._models: Mapping[str, Served]
        self._name: str
        self._info: ModelInfo
        self._questions: Questions
        self._epoch: int
        # What the answer's body is, set by `Infer`.
        self.body: bytes
        self.left = self.age = 0.0
        self.requests: Counted
        self.seconds: Callable[[float], None]

    def __repr__(self) -> str:
        return f"<CachedRepeat {self._key.hex()}>"

    def holds_for(
        self,
        models: Mapping[str, Served],
        name: str,
        info: ModelInfo,
        questions: Questions,
        body: bytes,
    ) -> None:
        """It is *body*, while *models* has the model *name* as it was, and *questions* its own.

        That nobody has purged anything meanwhile is told by the questions' epoch.
        """
        self._models, self._name, self._info = models, name, info
        self._questions, self._epoch = questions, questions.epoch
        self.body = body

    def find(self, now: float) -> bool:
        """See `gateway.exchange.Repeat`; where it is not, the stages must be asked."""
        served = self._models.get(self._name)
        if served is None or served.info is not self._info:
            return False
        questions = served.questions
        if questions is not self._questions or questions.epoch != self._epoch:
            return False
        entry = self._find(self._key, now)
        if entry is None:
            return False
        cached = entry.value
        upkeep = self._upkeep
        # A hit that is to be checked, or stale, takes more than looking it up.
        left = cached.fresh - now
        if cached is not self._cached or left <= 0 or upkeep.until_check <= 1:
            return False
        upkeep.until_check -= 1
        self.left = left
        self.age = now - entry.stored
        return True

    def given(self, lookup: float) -> None:
        """See `gateway.exchange.Repeat`."""
        self._hits.value += 1
        self._saved.value += self._cached.cost
        self._observe(lookup)
        payoff = self._payoff
        payoff.spent += lookup
        payoff.lookups += 1
        payoff.hits += 1.0
        self.requests.value += 1
        self.seconds(lookup)
