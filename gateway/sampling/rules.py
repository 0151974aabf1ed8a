# SPDX-License-Identifier: Apache-2.0
"""Rules: how large a share of which requests a shadow is asked.

A request has one number (`gateway.wire.selection`), and of the shares of all rules that it meets
the largest counts: that is the probability with which it is chosen, whatever else is known of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.sampling.reading import Read
    from gateway.wire.tensor import Array

# Compared rows of a class before anything is concluded of it, and those after which the older half
# is forgotten.
ENOUGH: Final = 20
_MEMORY: Final = 1000


class Rule(NamedTuple):
    """A *share* of the requests that meet all conditions: see the section ``shadow``."""

    share: float
    confidence_below: float | None = None
    disagreement: float | None = None
    slice: dict[str, str] | None = None

    @property
    def reads(self) -> bool:
        """Whether the live answer must be read to know who meets it."""
        return self.confidence_below is not None or self.disagreement is not None

    def is_for(self, values: dict[str, str]) -> bool:
        """Whether requests with these *values* of slices may meet it."""
        return self.slice is None or self.slice.items() <= values.items()


class Disagreement:
    """How often a shadow lately said another class than the live model, by the live one's class."""

    def __init__(self, classes: int) -> None:
        # The last place is that of rows without a class, which is -1.
        self._seen = np.zeros(classes + 1)
        self._differed = np.zeros(classes + 1)

    def __repr__(self) -> str:
        return f"<Disagreement {int(self._differed.sum())} of {int(self._seen.sum())}>"

    def learn(self, live: Array, shadow: Array) -> None:
        """These rows were compared."""
        np.add.at(self._seen, live, 1.0)
        np.add.at(self._differed, live, (live != shadow).astype(np.float64))
        many = self._seen > _MEMORY
        self._seen[many] /= 2
        self._differed[many] /= 2

    def rates(self, live: Array) -> Array:
        """The share of rows of the same class that differed, [n]; 1 while that is not known."""
        seen = self._seen[live]
        rates = self._differed[live] / np.maximum(seen, 1.0)
        return np.where(seen < ENOUGH, 1.0, rates)


class Rules:
    """All rules of one shadow: a *share* of all requests, and more of some.

    *classes* is the number of the live model's classes.
    """

    def __init__(self, share: float, rules: Sequence[Rule] = (), *, classes: int = 0) -> None:
        self._share = share
        self._plain = [rule for rule in rules if not rule.reads]
        self._reading = [rule for rule in rules if rule.reads]
        self.disagreement = Disagreement(classes)

    def __repr__(self) -> str:
        return f"<Rules {self._share:g} {self._plain + self._reading} {self.disagreement!r}>"

    @property
    def reads(self) -> bool:
        """Whether some rule needs the live answer."""
        return bool(self._reading)

    @property
    def widest(self) -> float:
        """The largest share that any request can have."""
        return max([self._share, *(rule.share for rule in self._plain + self._reading)])

    def learn(self, live: Array, shadow: Array) -> None:
        """The classes that both said to the same rows [n]."""
        if any(rule.disagreement is not None for rule in self._reading):
            self.disagreement.learn(live, shadow)

    def plain(self, values: dict[str, str]) -> float:
        """The share of requests with these *values* of slices, whatever was answered."""
        return max([self._share, *(rule.share for rule in self._plain if rule.is_for(values))])

    def shares(self, read: Read, counts: Sequence[int], values: Sequence[dict[str, str]]) -> Array:
        """The share that the answers give to each request [requests], plain rules left out.

        *read* has *counts* rows of each; *values* are those of its slices. A request meets a rule
        if one of its rows does.
        """
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        shares = np.zeros(len(counts))
        confidence = read.confidence()
        for rule in self._reading:
            met = np.ones(len(read.predicted), dtype=np.bool_)
            if rule.confidence_below is not None:
                met &= False if confidence is None else confidence < rule.confidence_below
            if rule.disagreement is not None:
                met &= self.disagreement.rates(read.predicted) >= rule.disagreement
            requests = np.logical_or.reduceat(met, starts)
            requests &= [rule.is_for(each) for each in values]
            shares = np.maximum(shares, np.where(requests, rule.share, 0.0))
        return np.asarray(shares)
