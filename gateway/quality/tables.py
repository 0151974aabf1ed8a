# SPDX-License-Identifier: Apache-2.0
"""The tables of the ledger, for SQLite and PostgreSQL alike.

Predictions lie in blocks of some hundred rows of one model file in one role, as columns: see
`gateway.quality.block`. `places` leads from an id to the blocks that it occurs in. `labels` has
every label that was taken, `joins` which of them holds for which prediction. `decisions` and
`audit` are written and never changed; triggers see to it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    event,
)

# Raised with every change that an older program could not read.
VERSION: Final = 1

METADATA: Final = MetaData()
# In SQLite this very type makes a primary key the row's own number, which costs no index.
_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")

META: Final = Table(
    "ledger_meta",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
BLOCKS: Final = Table(
    "blocks",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=False),
    Column("model", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("role", Text, nullable=False),
    # Seconds since the epoch of the newest prediction: the block ends with it.
    Column("last", Double, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
PLACES: Final = Table(
    "places",
    METADATA,
    # See `gateway.quality.keys`: what comes in together lies together.
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
LABELS: Final = Table(
    "labels",
    METADATA,
    Column("seq", _NUMBER, primary_key=True, autoincrement=False),
    Column("tenant", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("row", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    # The model that the label was said to be for, "" where it was not said.
    Column("model", Text, nullable=False),
    # msgpack, as it came.
    Column("value", LargeBinary, nullable=False),
    Column("time", Double, nullable=False),
    Column("weight", Double, nullable=False),
    Column("received", Double, nullable=False),
    # How long it waits for its prediction, seconds since the epoch.
    Column("until", Double, nullable=False),
    # See `gateway.quality.labels`.
    Column("state", SmallInteger, nullable=False),
)
Index("labels_by_id", LABELS.c.id, LABELS.c.row)
Index(
    "labels_waiting",
    LABELS.c.until,
    sqlite_where=LABELS.c.state == 0,
    postgresql_where=LABELS.c.state == 0,
)
JOINS: Final = Table(
    "joins",
    METADATA,
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
KEPT: Final = Table(
    "kept",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("time", Double, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
DECISIONS: Final = Table(
    "decisions",
    METADATA,
    Column("seq", _NUMBER, primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False),
    Column("model", Text, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("evidence", Text, nullable=False),
)
AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("seq", _NUMBER, primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False),
    Column("action", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("detail", Text, nullable=False),
)


def _when_created(table: Table, statement: str, dialect: str) -> None:
    ddl = DDL(statement).execute_if(dialect=dialect)  # type: ignore[no-untyped-call] # SQLAlchemy's
    event.listen(table, "after_create", ddl)


for _table in (DECISIONS, AUDIT):
    for _verb in ("UPDATE", "DELETE"):
        _when_created(
            _table,
            f"CREATE TRIGGER {_table.name}_no_{_verb.lower()} BEFORE {_verb} ON {_table.name} "
            "BEGIN SELECT RAISE(ABORT, 'what is written here is never changed'); END",
            "sqlite",
        )
    _when_created(
        _table,
        "CREATE OR REPLACE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION 'what is written here is never changed'; END $$",
        "postgresql",
    )
    _when_created(
        _table,
        f"CREATE TRIGGER {_table.name}_append_only BEFORE UPDATE OR DELETE ON {_table.name} "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()",
        "postgresql",
    )
