# SPDX-License-Identifier: Apache-2.0
"""Statements: writing and looking up many rows at once, as the driver takes them quickest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import BindParameter, Connection, Select, Table

# Parameters of one statement: both databases take more, and gain nothing from it.
_AT_ONCE: Final = 500

# Fewer are asked for by a statement of their own.
_FEW: Final = 32

_known: dict[tuple[str, str], str] = {}


def insert_many(connection: Connection, table: Table, rows: list[tuple[Any, ...]]) -> None:
    """Write *rows*, whole and in the order of the columns; one that is there already stays."""
    if not rows:
        return
    name = connection.dialect.name
    statement = _known.get((name, table.name))
    if statement is None:
        dialect = postgresql if name == "postgresql" else sqlite
        query = dialect.insert(table).on_conflict_do_nothing()
        statement = str(query.compile(dialect=connection.dialect))
        _known[name, table.name] = statement
    connection.exec_driver_sql(statement, rows)


def rows_of(
    connection: Connection, query: Select[Any], values: Iterable[Any], **others: object
) -> Iterator[Any]:
    """The rows of *query*, which has the expanding parameter ``values``, for all *values*."""
    wanted: Sequence[Any] = list(values)
    for start in range(0, len(wanted), _AT_ONCE):
        yield from connection.execute(query, {"values": wanted[start : start + _AT_ONCE], **others})


def blocks_at(connection: Connection, places: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Each of *places* with each block that the index has there.

    In words that both databases know, as putting some thousand parameters together anew each time
    takes longer than looking them up. Neighbours are asked for together.
    """
    wanted = sorted(places)
    if connection.dialect.name == "postgresql":
        yield from connection.exec_driver_sql(_ANY, (wanted,))
        return
    for start in range(0, len(wanted), _AT_ONCE):
        several = wanted[start : start + _AT_ONCE]
        # One statement, which is prepared once: what is missing is asked for again.
        several += several[-1:] * (_AT_ONCE - len(several) if len(wanted) > _FEW else 0)
        statement = _IN if len(several) == _AT_ONCE else _in(len(several))
        yield from connection.exec_driver_sql(statement, tuple(several))


def _in(count: int) -> str:
    marks = ",".join("?" * count)
    return f"SELECT key, block FROM places WHERE key IN ({marks})"  # noqa: S608 - marks alone


_ANY: Final = "SELECT key, block FROM places WHERE key = ANY(%s)"
_IN: Final = _in(_AT_ONCE)
VALUES: Final[BindParameter[Any]] = bindparam("values", expanding=True)
