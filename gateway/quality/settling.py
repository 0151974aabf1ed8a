# SPDX-License-Identifier: Apache-2.0
"""Settling: what becomes of one label, whether it comes before its prediction or behind it.

Labels of one source about one row are told apart by their times: which of them holds does not
depend on the order in which they come.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from gateway.quality.keys import time_of
from gateway.quality.labels import (
    BEATEN,
    EXPIRED,
    HOLDS,
    REFUSED,
    WAITING,
    Changes,
    Label,
    Outcome,
    Result,
    joins_of,
)
from gateway.quality.predictions import Found
from gateway.quality.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from gateway.quality.early import Early
    from gateway.quality.predictions import Predictions

# How far clocks may be apart, in seconds.
SKEW: Final = 300.0
# A prediction is written within seconds of its answer. Whoever makes its id before its request, in
# a queue, say, has this long, in seconds.
SETTLED: Final = 3600.0
_DAY: Final = 86400.0
# What labels wait that do not say for which model.
_WAIT: Final = Truth().wait


class Settling:
    """One transaction over *predictions*; *truths* gives how a model's labels are read.

    *last* is the number of the newest label. Predictions are kept for *retention* seconds.
    """

    def __init__(
        self,
        connection: Connection,
        predictions: Predictions,
        truths: Callable[[str], Truth | None],
        early: Early,
        *,
        last: int,
        retention: float,
    ) -> None:
        self.changes = Changes(last)
        self._connection = connection
        self._predictions = predictions
        self._truths = truths
        self._early = early
        self._retention = retention

    def __repr__(self) -> str:
        return f"<Settling {self.changes!r}>"

    def settle(
        self,
        label: Label,
        several: list[Label],
        where: list[Found],
        *,
        supersedes: int | None = None,
    ) -> Result:
        """What becomes of *label* whose predictions are *where*.

        It joins *several*, the labels of its identity, where it is kept. *supersedes* is the number
        of the one that it is a correction of.
        """
        if not where:
            return self._wait(label, several)
        block = self._predictions.block
        first = block(where[0].block)
        newest = first.times[where[0].position]
        models = {first.model}
        for found in where[1:]:
            models.add(block(found.block).model)
            newest = max(newest, block(found.block).times[found.position])
        if len(models) > 1:
            names = " and ".join(sorted(models))
            return self._refuse(label, f"the id is one of {names}; say which in 'model'")
        (model,) = models
        truth = self._truths(model)
        if truth is None:
            return self._refuse(label, f"model '{model}' takes no labels now", model)
        try:
            value = truth.read(label.content)
        except ValueError as error:
            return self._refuse(label, f"label {error}", model)
        if label.received - newest > truth.reach:
            self._keep(label, several, EXPIRED)
            days = (label.received - newest) / _DAY
            return _result(label, "expired", f"its prediction is {days:.1f} days old", model)
        for each in several:
            if each.state == HOLDS and each.fits(label.model):
                return self._compare(label, each, several, where, (value, truth, model), supersedes)
        if supersedes is not None:
            why = f"supersedes {supersedes}: there is no label of this row yet; leave it out"
            return self._refuse(label, why, model)
        self._keep(label, several, HOLDS)
        for found in where:
            self.changes.join(found, value, label)
        return _result(label, "joined", model=model)

    def also(self, label: Label, where: list[Found]) -> None:
        """Let *label*, which holds, hold for those at *where* that are of another file or role.

        A shadow's prediction may come behind the label. One of the same file and role is another
        request under the same id, of which nothing is known.
        """
        before = self._joined(label)
        blocks = self._predictions.blocks(
            self._connection, {each.block for each in (*before, *where)}
        )
        kinds = {
            (blocks[each.block].model, blocks[each.block].name, blocks[each.block].role)
            for each in before
            if each.block in blocks
        }
        models = {model for model, _, _ in kinds}
        for each in where:
            samples = blocks[each.block]
            kind = (samples.model, samples.name, samples.role)
            truth = self._truths(samples.model)
            if samples.model in models and kind not in kinds and truth is not None:
                self.changes.join(each, truth.read(label.content), label)

    def _compare(  # noqa: PLR0917 - one call, at the end of another
        self,
        label: Label,
        holding: Label,
        several: list[Label],
        where: list[Found],
        meaning: tuple[int | float, Truth, str],
        supersedes: int | None,
    ) -> Result:
        """What becomes of *label* where *holding* holds already."""
        value, truth, model = meaning
        try:
            held: int | float | None = truth.read(holding.content)
        except ValueError:
            held = None  # the model's classes are others by now
        last = truth.conflict == "last_wins"
        if value == held:
            if label.time > holding.time if last else label.time < holding.time:
                # Said again: it is as new, or as old, as where it was said so.
                holding.time = label.time
                self.changes.keep(holding, HOLDS)
            if not self.changes.is_new(label):
                self._keep(label, several, BEATEN)
            return _result(holding, "duplicate", model=model)
        if supersedes is not None and supersedes != holding.seq:
            self._keep(label, several, BEATEN)
            return _result(holding, "conflict", f"label {holding.seq} holds by now", model)
        mine, theirs = (label.time, value), (holding.time, -math.inf if held is None else held)
        wins = truth.conflict != "reject" and (mine > theirs if last else mine < theirs)
        if supersedes is None and not wins:
            self._keep(label, several, BEATEN)
            return _result(holding, "conflict", "another label holds", model)
        before = self._joined(holding)
        for found in before:
            self.changes.join(found, value if held is None else held, holding, -1)
        for found in dict.fromkeys((*before, *where)):
            self.changes.join(found, value, label)
        self._keep(holding, several, BEATEN)
        self._keep(label, several, HOLDS)
        if supersedes is not None:
            return _result(label, "joined", f"in place of {holding.seq}", model)
        return _result(label, "conflict", f"holds in place of {holding.seq}", model)

    def _wait(self, label: Label, several: list[Label]) -> Result:
        """What becomes of *label* whose prediction is not there."""
        made = time_of(label.id)
        if made is not None and made > label.received + SKEW:
            return self._refuse(label, "the id is of the future: it was not made here")
        if made is not None and label.received - made > SETTLED:
            self._keep(label, several, EXPIRED)
            why = "no prediction of this id was kept: not chosen, or lost"
            if label.received - made > self._retention:
                why = "its prediction is not kept any more"
            return _result(label, "expired", why, label.model)
        waiting = [each for each in several if each.state == WAITING and each.fits(label.model)]
        for each in waiting:
            if each.value == label.value and (label.time == each.time or each is waiting[-1]):
                return _result(each, "duplicate", model=label.model)
        truth = self._truths(label.model) if label.model else None
        if label.model and truth is None:
            return self._refuse(label, f"no model '{label.model}' takes labels", label.model)
        if truth is not None:
            try:
                truth.read(label.content)
            except ValueError as error:
                return self._refuse(label, f"label {error}", label.model)
        if self._early.full:
            why = f"{self._early.most} labels wait for their predictions (ledger.early_labels)"
            return self._refuse(label, why, label.model)
        label.until = label.received + (_WAIT if truth is None else truth.wait)
        self._keep(label, several, WAITING)
        return _result(label, "buffered", model=label.model)

    def _joined(self, label: Label) -> list[Found]:
        """The predictions that *label* holds for."""
        blocks = self._predictions.blocks_of(self._connection, label.id)
        holds, left = self.changes.joined(label)
        there = holds.union(joins_of(self._connection, label, blocks))
        return [Found(*each) for each in sorted(there - left)]

    def _keep(self, label: Label, several: list[Label], state: int) -> None:
        if label.state == WAITING and not self.changes.is_new(label):
            self._early.waited(label.id)
        elif state == WAITING:
            self._early.wait(label.id)
        if state == HOLDS:
            self._early.labelled(label.id)
        self.changes.keep(label, state)
        if label not in several:
            several.append(label)

    def _refuse(self, label: Label, reason: str, model: str = "") -> Result:
        if not self.changes.is_new(label):
            self._early.waited(label.id)
            self.changes.keep(label, REFUSED)
        return _result(None, "rejected", reason, model, of=label)


def _result(
    kept: Label | None,
    outcome: Outcome,
    reason: str = "",
    model: str = "",
    *,
    of: Label | None = None,
) -> Result:
    label = kept or of
    assert label is not None  # noqa: S101 - one of them is given
    seq = 0 if kept is None else kept.seq
    return Result(label.id, label.row, outcome, seq, reason, model or label.model)
