# SPDX-License-Identifier: Apache-2.0
"""Retention: what is too old or too much goes, the oldest first, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import func, select

from gateway.edge.ids import new_id
from gateway.quality.items import Sent
from gateway.quality.ledger import Ledger
from gateway.quality.tables import BLOCKS, JOINS, LABELS, PLACES
from tests.support.ledgers import TEN, hub_over, made, opened

DAY = 86400.0


async def counts(ledger: Ledger) -> dict[str, int]:
    """How many rows the tables have."""
    return await ledger.ask(
        lambda connection: {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (BLOCKS, PLACES, LABELS, JOINS)
        }
    )


async def test_what_is_too_old_goes_with_all_of_it(tmp_path: Path) -> None:
    """Predictions, what leads to them, and their labels; what is younger stays."""
    now = [100 * DAY]
    async with opened(tmp_path, clock=lambda: now[0]) as ledger:
        hub, _ = hub_over(ledger, retention=10 * DAY, clock=lambda: now[0])
        ids = [f"old{each}" for each in range(5000)]
        hub.take(made(ids, [1] * 5000, times=[now[0]] * 5000))
        await hub.label("", [Sent(each, 0, 1) for each in ids[:1000]])
        now[0] += 6 * DAY
        hub.take(made(["young"], [1], times=[now[0]]))
        await hub.label("", [Sent("young", 0, 1)])
        now[0] += 5 * DAY
        recording = hub._recording
        while await ledger.ask(recording.retain) < 1:
            pass
        assert await counts(ledger) == {"blocks": 1, "places": 1, "labels": 1, "joins": 1}
        removed = ledger.telemetry.quality.ledger_removed
        assert removed.cell("prediction", "age").value == 5000
        assert removed.cell("label", "age").value == 1000
        # Its label comes too late.
        (late,) = await hub.label("", [Sent("old7", 0, 1)])
        assert late.result == "buffered"


async def test_a_ledger_that_is_too_large_loses_its_oldest(tmp_path: Path) -> None:
    """Until it is within its size; the newest predictions can still be labelled."""
    most = 2 << 20
    async with opened(tmp_path) as ledger:
        hub, _ = hub_over(ledger, most=most)
        ids: list[str] = []
        for _ in range(12):
            ids = [new_id() for _ in range(5000)]
            hub.take(made(ids, [1] * 5000))
        await ledger.kept("")
        recording = hub._recording
        before = (await counts(ledger))["blocks"]
        while await ledger.ask(recording.retain) < 1:
            pass
        assert ledger.telemetry.quality.ledger_bytes.cell().value <= most
        after = await counts(ledger)
        assert 0 < after["blocks"] < before
        (label,) = await hub.label("", [Sent(ids[-1], 0, 1)])
        assert label.result == "joined"
        assert ledger.telemetry.quality.ledger_removed.cell("prediction", "size").value > 0


async def test_a_block_that_went_is_not_filled_up(tmp_path: Path) -> None:
    """What comes next begins a new one."""
    now = [100 * DAY]
    async with opened(tmp_path, clock=lambda: now[0]) as ledger:
        hub, adding = hub_over(ledger, truths={"m": TEN}, retention=DAY, clock=lambda: now[0])
        hub.take(made(["a"], [1], times=[now[0]]))
        await ledger.kept("")
        now[0] += 2 * DAY
        await ledger.ask(hub._recording.retain)
        hub.take(made(["b"], [1], times=[now[0]]))
        (label,) = await hub.label("", [Sent("b", 0, 1)])
        assert label.result == "joined"
        assert sum(adding.cells.values()) == 1
