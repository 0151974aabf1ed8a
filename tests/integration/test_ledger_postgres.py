# SPDX-License-Identifier: Apache-2.0
"""The ledger in a real PostgreSQL: the same as in a file, and what happens when it goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.edge.ids import new_id
from gateway.quality.database import Unusable
from gateway.quality.items import Sent
from gateway.quality.tables import AUDIT
from tests.support.labelling import until
from tests.support.ledgers import hub_over, made, opened
from tests.support.postgres import Server, postgres, programs

pytest.importorskip("psycopg", reason="the extra postgres is not installed")
BINARIES = programs()
pytestmark = pytest.mark.skipif(BINARIES is None, reason="PostgreSQL is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for all tests here."""
    assert BINARIES is not None
    with postgres(BINARIES) as running:
        yield running


@pytest.fixture
async def empty(server: Server, tmp_path: Path) -> str:
    """The server's URL, with nothing in the database."""
    async with opened(tmp_path, url=server.url) as ledger:
        await ledger.ask(lambda connection: connection.execute(text("DROP SCHEMA public CASCADE")))
        await ledger.ask(lambda connection: connection.execute(text("CREATE SCHEMA public")))
    return server.url


async def test_labels_join_and_are_told_again(tmp_path: Path, empty: str) -> None:
    """Early and late ones, corrections and repeats, and all of it after a restart."""
    ids = [new_id() for _ in range(3000)]
    async with opened(tmp_path, url=empty) as ledger:
        hub, first = hub_over(ledger)
        await hub.label("", [Sent(ids[0], 0, 4)])
        hub.take(made(ids, [each % 10 for each in range(3000)]))
        hub.take(made(ids[:10], [3] * 10, role="shadow", name="n", digest="d2"))
        results = await hub.label("", [Sent(each, 0, 7) for each in ids[:500]])
        assert [each.result for each in results] == ["conflict"] + ["joined"] * 499
        again = await hub.label("", [Sent(ids[1], 0, "7"), Sent(ids[2], 0, 5, supersedes=0)])
        assert [each.result for each in again] == ["duplicate", "conflict"]
        assert sum(first.cells.values()) == 510
        assert len(await ledger.labels("", ids[0])) == 2
    async with opened(tmp_path, url=empty) as ledger:
        hub, second = hub_over(ledger)
        hub.open()
        while len(second.told) < len(first.told):
            await ledger.kept("")
        assert second.cells == first.cells
        assert second.keys == first.keys
        assert second.once()


async def test_old_predictions_are_taken_out(tmp_path: Path, empty: str) -> None:
    """By age and by size, as in a file."""
    now = [time.time()]
    async with opened(tmp_path, url=empty, clock=lambda: now[0]) as ledger:
        hub, _ = hub_over(ledger, retention=100.0, most=200_000, clock=lambda: now[0])
        old = [new_id() for _ in range(2000)]
        hub.take(made(old, [1] * 2000, times=[now[0]] * 2000))
        await hub.label("", [Sent(old[0], 0, 1)])
        now[0] += 200
        new = [new_id() for _ in range(5000)]
        hub.take(made(new, [1] * 5000, times=[now[0]] * 5000))
        await ledger.kept("")
        while await ledger.ask(hub._recording.retain) < 1:
            pass
        removed = ledger.telemetry.quality.ledger_removed
        assert removed.cell("prediction", "age").value == 2000
        assert removed.cell("prediction", "size").value > 0
        assert removed.cell("label", "age").value == 1
        assert ledger.telemetry.quality.ledger_bytes.cell().value <= 200_000
        (label,) = await hub.label("", [Sent(new[-1], 0, 1)])
        assert label.result == "joined"


async def test_states_decisions_and_audit_are_kept(tmp_path: Path, empty: str) -> None:
    """And the database itself refuses to change what was decided."""
    async with opened(tmp_path, url=empty) as ledger:
        await ledger.keep("state", b"\0\xff")
        await ledger.keep("state", b"\0\xfe")
        await ledger.append("promote", model="m", detail={"why": "é"})
        with pytest.raises(SQLAlchemyError, match="never changed"):
            await ledger.ask(lambda connection: connection.execute(delete(AUDIT)))
        assert ledger.state == "ok"
    async with opened(tmp_path, url=empty) as ledger:
        assert await ledger.kept("state") == b"\0\xfe"
        (entry,) = await ledger.audit("m")
        assert entry.detail == {"why": "é"}


async def test_a_second_infergate_is_refused(tmp_path: Path, empty: str) -> None:
    """As with a file."""
    async with (
        opened(tmp_path, url=empty) as first,
        opened(tmp_path, url=empty, busy=0.1) as second,
    ):
        await first.kept("")
        with pytest.raises(Unusable, match="another Infergate"):
            await second.kept("")
        assert (first.state, second.state) == ("ok", "in_use")


async def test_what_comes_while_it_is_away_is_written_when_it_is_back(
    tmp_path: Path, server: Server, empty: str
) -> None:
    """Labels are refused meanwhile, in words; those that were answered are there."""
    async with opened(tmp_path, url=empty) as ledger:
        hub, adding = hub_over(ledger)
        hub.take(made(["a"], [1]))
        await hub.label("", [Sent("a", 0, 1)])
        server.kill()
        hub.take(made(["b"], [2]))
        with pytest.raises(Unusable) as error:
            await hub.label("", [Sent("b", 0, 2)])
        assert error.value.reason == "unreachable"
        assert "infergate" in str(error.value)
        server.start()
        await asyncio.to_thread(until, lambda: ledger.state == "ok")
        results = await hub.label("", [Sent("a", 0, 1), Sent("b", 0, 2)])
        assert [each.result for each in results] == ["duplicate", "joined"]
        assert sum(adding.cells.values()) == 2
        assert adding.once()
