# SPDX-License-Identifier: Apache-2.0
"""Records: kept states, decisions and the audit log, as the ledger reads and writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import delete, func, insert, select

from gateway.quality.tables import AUDIT, DECISIONS, KEPT

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table


class Decision(msgspec.Struct, frozen=True):
    """What was decided about *candidate* for *model*, and the *evidence* of it."""

    seq: int
    time: float
    model: str
    candidate: str
    outcome: str
    evidence: Any


class AuditEntry(msgspec.Struct, frozen=True):
    """*actor* did *action* to *model*; *time* is seconds since the epoch."""

    seq: int
    time: float
    action: str
    model: str
    actor: str
    detail: Any


def keep(connection: Connection, name: str, data: bytes | None, now: float) -> None:
    """Let *data* be what is kept as *name*; None: nothing."""
    connection.execute(delete(KEPT).where(KEPT.c.name == name))
    if data is not None:
        connection.execute(insert(KEPT).values(name=name, time=now, data=data))


def kept(connection: Connection, name: str) -> bytes | None:
    """What is kept as *name*."""
    data: bytes | None = connection.scalar(select(KEPT.c.data).where(KEPT.c.name == name))
    return data


def decide(
    connection: Connection,
    *,
    model: str,
    candidate: str,
    outcome: str,
    evidence: object,
    now: float,
) -> int:
    """Write a decision down; gives its number."""
    seq = _next(connection, DECISIONS)
    connection.execute(
        insert(DECISIONS).values(
            seq=seq, time=now, model=model, candidate=candidate, outcome=outcome,
            evidence=_json(evidence),
        )
    )  # fmt: skip
    return seq


def decisions(connection: Connection, model: str, limit: int) -> list[Decision]:
    """The last *limit* decisions about *model*, "" for all, the newest first."""
    query = select(DECISIONS).order_by(DECISIONS.c.seq.desc()).limit(limit)
    if model:
        query = query.where(DECISIONS.c.model == model)
    return [
        Decision(
            row.seq, row.time, row.model, row.candidate, row.outcome,
            msgspec.json.decode(row.evidence),
        )
        for row in connection.execute(query)
    ]  # fmt: skip


def append(
    connection: Connection, *, action: str, model: str, actor: str, detail: object, now: float
) -> int:
    """Write *action* into the audit log; gives the number of the entry."""
    seq = _next(connection, AUDIT)
    connection.execute(
        insert(AUDIT).values(
            seq=seq, time=now, action=action, model=model, actor=actor, detail=_json(detail)
        )
    )
    return seq


def audit(connection: Connection, model: str, before: int, limit: int) -> list[AuditEntry]:
    """The last *limit* entries about *model*, "" for all, with numbers below *before*, 0 for all.

    The newest first.
    """
    query = select(AUDIT).order_by(AUDIT.c.seq.desc()).limit(limit)
    if model:
        query = query.where(AUDIT.c.model == model)
    if before:
        query = query.where(AUDIT.c.seq < before)
    return [
        AuditEntry(
            row.seq, row.time, row.action, row.model, row.actor, msgspec.json.decode(row.detail)
        )
        for row in connection.execute(query)
    ]


def _next(connection: Connection, table: Table) -> int:
    # There is one writer, in one transaction: nobody else takes this number.
    last = connection.scalar(select(func.max(table.c.seq)))
    return 1 + (last or 0)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
