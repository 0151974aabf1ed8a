# SPDX-License-Identifier: Apache-2.0
"""Retention: what is too old, or too much, is taken out of the ledger in small steps."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import bindparam, delete, func, select, text

from gateway.quality.block import unpack
from gateway.quality.predictions import places_in
from gateway.quality.tables import BLOCKS, JOINS, LABELS, PLACES

if TYPE_CHECKING:
    from sqlalchemy import Connection

# What one step takes out, so that no transaction lasts longer than some ten milliseconds.
_BLOCKS: Final = 8
_LABELS: Final = 2000
# What a prediction takes beside its block, and a label all in all, where the database cannot say
# how much of its files is in use. In bytes.
_PLACE: Final = 60
_LABEL: Final = 250
_OLDEST: Final = (
    select(BLOCKS.c.id, BLOCKS.c.last, BLOCKS.c.rows, BLOCKS.c.data)
    .order_by(BLOCKS.c.id)
    .limit(_BLOCKS)
)
_OLDEST_LABELS: Final = (
    select(LABELS.c.seq, LABELS.c.received).order_by(LABELS.c.seq).limit(_LABELS)
)
_LEAVE: Final = delete(PLACES).where(
    PLACES.c.key == bindparam("which"), PLACES.c.block == bindparam("where")
)
_LABEL_ROWS: Final = text("SELECT reltuples FROM pg_class WHERE relname = 'labels'")


class _Block(NamedTuple):
    id: int
    last: float
    rows: int
    data: bytes


class Step(NamedTuple):
    """What was taken out: the numbers of the *blocks*, *rows* predictions, and *labels*."""

    blocks: list[int]
    rows: int
    labels: int

    def __bool__(self) -> bool:
        return bool(self.blocks or self.labels)


def size(connection: Connection) -> int:
    """How many bytes the ledger takes, room that it can use again left out."""
    if connection.dialect.name == "sqlite":
        pages, free, page = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * page)
    blocks = connection.scalar(
        select(func.sum(func.octet_length(BLOCKS.c.data) + BLOCKS.c.rows * _PLACE))
    )
    labels = max(0.0, connection.scalar(_LABEL_ROWS) or 0.0)
    return int(blocks or 0) + int(labels * _LABEL)


def too_old(connection: Connection, before: float) -> Step:
    """Take out predictions and labels of before the time *before*."""
    blocks = list(takewhile(lambda block: block.last < before, _oldest(connection)))
    return _taken(connection, blocks, before)


def too_much(connection: Connection) -> Step:
    """Take out the oldest predictions, and the labels that came before the newest of them."""
    blocks = _oldest(connection)
    return _taken(connection, blocks, max((block.last for block in blocks), default=float("inf")))


def _oldest(connection: Connection) -> list[_Block]:
    return [_Block(*row) for row in connection.execute(_OLDEST)]


def _taken(connection: Connection, blocks: list[_Block], before: float) -> Step:
    numbers = [block.id for block in blocks]
    if numbers:
        places = [
            {"which": place, "where": block.id}
            for block in blocks
            for place in places_in(unpack(bytes(block.data)), block.id)
        ]
        connection.execute(_LEAVE, places)
        connection.execute(delete(JOINS).where(JOINS.c.block.in_(numbers)))
        connection.execute(delete(BLOCKS).where(BLOCKS.c.id.in_(numbers)))
    labels = []
    for seq, received in connection.execute(_OLDEST_LABELS):
        if received >= before:
            break
        labels.append(seq)
    if labels:
        connection.execute(delete(LABELS).where(LABELS.c.seq <= labels[-1]))
    return Step(numbers, sum(block.rows for block in blocks), len(labels))
