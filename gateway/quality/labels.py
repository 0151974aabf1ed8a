# SPDX-License-Identifier: Apache-2.0
"""Labels: what the ledger holds of them, and one transaction's changes to that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import bindparam, func, select, update

from gateway.quality.statements import VALUES, insert_many, rows_of
from gateway.quality.tables import JOINS, LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from gateway.quality.predictions import Found

Outcome = Literal["joined", "buffered", "duplicate", "conflict", "expired", "rejected"]

# States of a label. It waits for its prediction; it holds; another one of the same source holds in
# its place; its prediction is too old or gone; its prediction never came; it turned out not to be
# one of its model.
WAITING, HOLDS, BEATEN, EXPIRED, ORPHANED, REFUSED = range(6)


class Label(msgspec.Struct):
    """A label in the ledger; *value* is msgpack of what was sent.

    *time* is when it was made, *received* when it came, both in seconds since the epoch.
    """

    seq: int
    tenant: str
    id: str
    row: int
    source: str
    model: str
    value: bytes
    time: float
    weight: float
    received: float
    until: float
    state: int = WAITING

    @property
    def content(self) -> object:
        """What was sent."""
        return msgspec.msgpack.decode(self.value)

    @property
    def identity(self) -> Identity:
        """Of labels with the same one, one holds."""
        return Identity(self.tenant, self.id, self.row, self.source)

    def fits(self, model: str) -> bool:
        """Whether it may be about *model*, "" for any."""
        return not self.model or not model or self.model == model


class Identity(NamedTuple):
    """Who says something about which row of which prediction."""

    tenant: str
    id: str
    row: int
    source: str


class Result(msgspec.Struct, omit_defaults=True):
    """What became of one label; *seq* is its number, or that of the one that holds instead."""

    id: str
    row: int
    result: Outcome
    seq: int = 0
    reason: str = ""
    model: str = ""


class Cell(NamedTuple):
    """A label that holds for the prediction at *found* from now on, or no longer (*sign* -1).

    *true* is what it means for its model.
    """

    found: Found
    true: int | float
    label: Label
    sign: int


_BY_ID: Final = select(LABELS).where(LABELS.c.id.in_(VALUES))
_JOINS: Final = (
    select(JOINS.c.block, JOINS.c.position)
    .where(JOINS.c.seq == bindparam("label"), JOINS.c.block.in_(VALUES))
    .order_by(JOINS.c.block, JOINS.c.position)
)
_STATES: Final = (
    update(LABELS)
    .where(LABELS.c.seq == bindparam("which"))
    .values(state=bindparam("now"), time=bindparam("when"))
)
_LEAVE: Final = JOINS.delete().where(
    JOINS.c.block == bindparam("in_block"),
    JOINS.c.seq == bindparam("which"),
    JOINS.c.position == bindparam("at"),
)


def last_number(connection: Connection) -> int:
    """The number of the newest label, 0 for none."""
    return connection.scalar(select(func.max(LABELS.c.seq))) or 0


def labels_of(connection: Connection, ids: Iterable[str]) -> dict[Identity, list[Label]]:
    """All labels of *ids* by their identities, in the order in which they came."""
    found: dict[Identity, list[Label]] = {}
    for row in rows_of(connection, _BY_ID, set(ids)):
        label = Label(*row)
        found.setdefault(label.identity, []).append(label)
    for several in found.values():
        several.sort(key=lambda label: label.seq)
    return found


def joins_of(connection: Connection, label: Label, blocks: Iterable[int]) -> list[tuple[int, int]]:
    """Block and place of each prediction in *blocks* for which *label* holds."""
    return [tuple(row) for row in rows_of(connection, _JOINS, blocks, label=label.seq)]


class Changes:
    """What one transaction does to the labels, written at its end at once.

    *last* is the number of the newest label before it.
    """

    def __init__(self, last: int) -> None:
        self._last = last
        self._new: dict[int, Label] = {}
        self.cells: list[Cell] = []
        self._changed: dict[int, Label] = {}
        self._joined: dict[tuple[int, int, int], bool] = {}

    def __repr__(self) -> str:
        return f"<Changes new={len(self._new)} cells={len(self.cells)}>"

    def is_new(self, label: Label) -> bool:
        """Whether *label* is not in the database yet."""
        return label.seq > self._last

    def keep(self, label: Label, state: int) -> None:
        """Let *label*, new or known, be in *state*."""
        label.state = state
        (self._new if self.is_new(label) else self._changed)[label.seq] = label

    def join(self, found: Found, true: float, label: Label, sign: int = 1) -> None:
        """Let *label* hold for the prediction at *found*, or with *sign* -1 no longer."""
        self.cells.append(Cell(found, true, label, sign))
        self._joined[found.block, label.seq, found.position] = sign > 0

    def joined(self, label: Label) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
        """Where *label* holds, and no longer holds, by what this transaction has done so far."""
        holds: set[tuple[int, int]] = set()
        left: set[tuple[int, int]] = set()
        for (block, seq, position), is_joined in self._joined.items():
            if seq == label.seq:
                (holds if is_joined else left).add((block, position))
        return holds, left

    def write(self, connection: Connection) -> None:
        """Write all of it."""
        new = [msgspec.structs.astuple(each) for each in self._new.values()]
        insert_many(connection, LABELS, new)
        changed = [
            {"which": each.seq, "now": each.state, "when": each.time}
            for each in self._changed.values()
        ]
        if changed:
            connection.execute(_STATES, changed)
        insert_many(connection, JOINS, [key for key, holds in self._joined.items() if holds])
        left = [key for key, holds in self._joined.items() if not holds]
        if left:
            connection.execute(
                _LEAVE, [{"in_block": block, "which": seq, "at": at} for block, seq, at in left]
            )
