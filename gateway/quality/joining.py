# SPDX-License-Identifier: Apache-2.0
"""Joining: labels that come in, predictions that come in, and those that wait for one another.

All of it runs in the thread of the ledger, within a transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import select, update

from gateway.quality.early import Early
from gateway.quality.labels import HOLDS, ORPHANED, WAITING, Label, labels_of, last_number
from gateway.quality.predictions import Asked
from gateway.quality.settling import Settling
from gateway.quality.tables import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from gateway.quality.items import Sent
    from gateway.quality.labels import Cell, Result
    from gateway.quality.predictions import Predictions, Written
    from gateway.quality.truth import Truth

_ORPHANS_AT_ONCE: Final = 1000
# Seconds, so that of labels without a time the later one in a batch is the later.
_TICK: Final = 1e-6


class Joining:
    """Joins labels and *predictions*; *truths* gives how a model's labels are read.

    *early* bounds how many labels wait. Predictions are kept for *retention* seconds.
    """

    def __init__(
        self,
        predictions: Predictions,
        truths: Callable[[str], Truth | None],
        *,
        early: int,
        retention: float,
    ) -> None:
        self._predictions = predictions
        self._truths = truths
        self._early = Early(early)
        self._retention = retention
        self._last = 0

    def __repr__(self) -> str:
        return f"<Joining {self._early!r}>"

    @property
    def waiting(self) -> int:
        """How many labels wait for their predictions."""
        return self._early.waiting

    def read(self, connection: Connection) -> None:
        """Begin with what is in the database."""
        self._last = last_number(connection)
        self._early.clear()
        for (id_,) in connection.execute(select(LABELS.c.id).where(LABELS.c.state == WAITING)):
            self._early.wait(id_)

    def take(
        self, connection: Connection, tenant: str, items: Sequence[Sent], now: float
    ) -> tuple[list[Result], list[Cell]]:
        """Take *items* in; gives what became of each, and what holds now."""
        turn = self._turn(connection)
        asked = [Asked(tenant, item.id, item.row, item.model) for item in items]
        found = self._predictions.find(connection, set(asked))
        known = labels_of(connection, {item.id for item in items})
        results = []
        for number, (item, where) in enumerate(zip(items, asked, strict=True)):
            label = self._label(tenant, item, now, number)
            several = known.setdefault(label.identity, [])
            results.append(
                turn.settle(label, several, found.get(where, []), supersedes=item.supersedes)
            )
        turn.changes.write(connection)
        return results, turn.changes.cells

    def arrived(
        self, connection: Connection, written: Sequence[Written]
    ) -> tuple[list[Result], list[Cell]]:
        """Join what waits for the predictions that were *written*."""
        rows = {
            each.row(offset)
            for each in (written if self._early else ())
            for offset, key in enumerate(each.keys)
            if key in self._early
        }
        if not rows:
            return [], []
        turn = self._turn(connection)
        known = {
            identity: labels
            for identity, labels in labels_of(connection, {id_ for _, id_, _ in rows}).items()
            if identity[:3] in rows
        }
        asked = {Asked(*who[:3], label.model) for who, labels in known.items() for label in labels}
        found = self._predictions.find(connection, asked)
        results = []
        for identity, labels in known.items():
            for label in list(labels):
                where = found.get(Asked(*identity[:3], label.model), [])
                if label.state == HOLDS:
                    turn.also(label, where)
                elif label.state == WAITING and where:
                    results.append(turn.settle(label, labels, where))
        turn.changes.write(connection)
        return results, turn.changes.cells

    def expire(self, connection: Connection, now: float) -> list[str]:
        """Give labels up whose predictions have not come; gives their models, some at a time."""
        query = (
            select(LABELS.c.seq, LABELS.c.id, LABELS.c.model)
            .where(LABELS.c.state == WAITING, LABELS.c.until < now)
            .limit(_ORPHANS_AT_ONCE)
        )
        gone = connection.execute(query).all()
        if gone:
            numbers = [seq for seq, _, _ in gone]
            orphans = update(LABELS).where(LABELS.c.seq.in_(numbers)).values(state=ORPHANED)
            connection.execute(orphans)
        for _, id_, _ in gone:
            self._early.waited(id_)
        return [model for _, _, model in gone]

    def _turn(self, connection: Connection) -> Settling:
        return Settling(
            connection,
            self._predictions,
            self._truths,
            self._early,
            last=self._last,
            retention=self._retention,
        )

    def _label(self, tenant: str, item: Sent, now: float, number: int) -> Label:
        self._last += 1
        return Label(
            seq=self._last,
            tenant=tenant,
            id=item.id,
            row=item.row,
            source=item.source,
            model=item.model,
            value=msgspec.msgpack.encode(item.value),
            time=now + number * _TICK if item.time is None else item.time,
            weight=item.weight,
            received=now,
            until=0.0,
        )
