# SPDX-License-Identifier: Apache-2.0
"""Pairing: what two model files have answered to the same rows, counted by time and by weight."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.statistics.betting import wealth_changed
from gateway.statistics.comparison import Pairs

if TYPE_CHECKING:
    from gateway.statistics.betting import Strata
    from gateway.wire.samples import Column

# Rows of a block: a model that gets worse is noticed by bets that begin with one.
BLOCK: Final = 500
# Blocks that are told apart; beyond it the older ones become one by two and two.
MOST_BLOCKS: Final = 128
# Places of the kinds of pairs among the fields of Pairs.
_KINDS: Final = tuple(each.name for each in fields(Pairs))
_LIVE, _CANDIDATE, _NEITHER, _AGREED, _OPEN_AGREED, _OPEN_DIFFER = range(6)
# Weights are told apart in steps of this; there are as many as there are shares to sample by.
_STEP: Final = 1e-6


class Pairing:
    """Pairs of answers of *model* and *candidate*, the digests of two files, from *since* on.

    *since* is seconds since the epoch, as the times of rows are. What the labels of rows change is
    counted where the rows are, so the order in which they come changes nothing.
    """

    def __init__(self, model: str, candidate: str, *, since: float = 0.0) -> None:
        self.model = model
        self.candidate = candidate
        self.since = since
        # When the newest of them was answered, and who gives the labels that count.
        self.last = 0.0
        self.source: str | None = None
        self._starts: list[float] = [since]
        self._numbers = [1]
        # By weight, six counts in the order of Pairs' fields.
        self._blocks: list[dict[float, Column]] = [{}]

    def __repr__(self) -> str:
        return f"<Pairing {self.pairs} in {len(self._blocks)} blocks>"

    @property
    def strata(self) -> dict[float, Pairs]:
        """All pairs by the weight of their rows."""
        total: dict[float, Column] = {}
        for block in self._blocks:
            for weight, counts in block.items():
                total[weight] = total[weight] + counts if weight in total else counts
        return {weight: Pairs(*counts.tolist()) for weight, counts in total.items()}

    @property
    def pairs(self) -> Pairs:
        """All pairs, whatever they weigh."""
        return sum(self.strata.values(), Pairs())

    def add(self, live: Column, candidate: Column, times: Column, weights: Column) -> None:
        """Count rows [n] that both have answered, none of which has a label yet."""
        kinds = np.where(live == candidate, _OPEN_AGREED, _OPEN_DIFFER)
        self._count(kinds, np.ones(len(kinds), dtype=np.int64), times, weights)
        last = self._blocks[-1]
        if sum(int(counts.sum()) for counts in last.values()) >= BLOCK and len(times):
            self._begin(float(np.max(times)))

    def label(
        self,
        live: Column,
        candidate: Column,
        *,
        true: Column,
        signs: Column,
        times: Column,
        weights: Column,
    ) -> None:
        """Rows [n] of those have a label now where *signs* is 1, and have lost one where it is -1.

        A label that is corrected comes as both.
        """
        same = live == candidate
        kinds = np.select(
            [same, live == true, candidate == true], [_AGREED, _LIVE, _CANDIDATE], _NEITHER
        )
        signs = signs.astype(np.int64)
        self._count(kinds, signs, times, weights)
        self._count(np.where(same, _OPEN_AGREED, _OPEN_DIFFER), -signs, times, weights)

    def harm(self, *, margin: float) -> float:
        """The e-value against "the candidate was at no time worse by more than *margin*".

        Differences without a label count in its favour.
        """
        blocks: list[Strata] = [
            {
                weight: (
                    int(counts[_LIVE]),
                    int(counts[_CANDIDATE] + counts[_OPEN_DIFFER]),
                    int(counts[_NEITHER] + counts[_AGREED] + counts[_OPEN_AGREED]),
                )
                for weight, counts in block.items()
            }
            for block in self._blocks
        ]
        return wealth_changed(blocks, margin=margin, numbers=self._numbers)

    def _count(self, kinds: Column, signs: Column, times: Column, weights: Column) -> None:
        counted = times >= self.since
        if not counted.all():
            kinds, signs = kinds[counted], signs[counted]
            times, weights = times[counted], weights[counted]
        if not len(kinds):
            return
        ends = (float(times.min()), float(times.max()))
        first, last = np.searchsorted(self._starts, ends, side="right") - 1
        if first == last and weights.min() == weights.max():
            # What comes in one message mostly is of one time and one weight.
            self._add(int(last), float(weights[0]), kinds, signs)
            return
        places = np.searchsorted(self._starts, times, side="right") - 1
        levels, which = np.unique(weights, return_inverse=True)
        groups = places * len(levels) + which
        for group in np.unique(groups).tolist():
            mine = groups == group
            place, level = divmod(group, len(levels))
            self._add(place, float(levels[level]), kinds[mine], signs[mine])

    def _add(self, place: int, weight: float, kinds: Column, signs: Column) -> None:
        """Count rows of one block and one weight."""
        counts = np.bincount(kinds, weights=signs, minlength=len(_KINDS)).astype(np.int64)
        weight = min(max(round(weight / _STEP), 1) * _STEP, 1.0)
        block = self._blocks[place]
        block[weight] = block[weight] + counts if weight in block else counts

    def _begin(self, time: float) -> None:
        """Let rows behind *time* begin a block."""
        if time <= self._starts[-1]:
            return
        self._starts.append(float(np.nextafter(time, np.inf)))
        self._numbers.append(self._numbers[-1] + 1)
        self._blocks.append({})
        if len(self._blocks) > MOST_BLOCKS:
            self._thin()

    def _thin(self) -> None:
        """Make one of every two blocks of the older half: the second's bet is given up."""
        half = MOST_BLOCKS // 2
        for place in range(half, 0, -2):
            taken = self._blocks.pop(place)
            del self._starts[place], self._numbers[place]
            block = self._blocks[place - 1]
            for weight, counts in taken.items():
                block[weight] = block[weight] + counts if weight in block else counts
