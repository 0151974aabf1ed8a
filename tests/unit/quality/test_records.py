# SPDX-License-Identifier: Apache-2.0
"""Kept states, decisions and the audit log in a ledger on disk."""

from __future__ import annotations

from operator import methodcaller
from pathlib import Path

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError

from gateway.quality.tables import AUDIT, DECISIONS
from tests.support.ledgers import opened


async def test_a_state_is_kept_until_another_takes_its_place(tmp_path: Path) -> None:
    """Under its name alone, and beyond the life of the process."""
    async with opened(tmp_path) as ledger:
        assert await ledger.kept("figures") is None
        await ledger.keep("figures", b"one")
        await ledger.keep("figures", b"two")
        await ledger.keep("other", b"")
    async with opened(tmp_path) as ledger:
        assert await ledger.kept("figures") == b"two"
        assert await ledger.kept("other") == b""
        await ledger.keep("figures", None)
        assert await ledger.kept("figures") is None


async def test_decisions_and_audit_are_given_newest_first(tmp_path: Path) -> None:
    """By model, in pages, with the evidence as it was given."""
    async with opened(tmp_path, clock=lambda: 5.0) as ledger:
        first = await ledger.decide("m", "c", "promote", {"b": 1, "e": 23.5})
        await ledger.decide("n", "c", "inconclusive", None)
        assert [each.model for each in await ledger.decisions()] == ["n", "m"]
        (decision,) = await ledger.decisions("m")
        assert (decision.seq, decision.time, decision.outcome) == (first, 5.0, "promote")
        assert decision.evidence == {"b": 1, "e": 23.5}
        for number in range(5):
            await ledger.append("promote", model="m", actor="ann", detail={"number": number})
        newest = await ledger.audit("m", limit=2)
        assert [each.detail["number"] for each in newest] == [4, 3]
        older = await ledger.audit("m", before=newest[-1].seq, limit=2)
        assert [each.detail["number"] for each in older] == [2, 1]
        assert await ledger.audit("n") == []


async def test_what_is_decided_is_never_changed(tmp_path: Path) -> None:
    """Not by this program either: the database itself refuses."""
    async with opened(tmp_path) as ledger:
        await ledger.append("promote")
        await ledger.decide("m", "c", "promote", None)
        for table in (AUDIT, DECISIONS):
            for statement in (delete(table), update(table).values(seq=7)):
                with pytest.raises(IntegrityError, match="never changed"):
                    await ledger.ask(methodcaller("execute", statement))
        assert len(await ledger.audit()) == len(await ledger.decisions()) == 1
