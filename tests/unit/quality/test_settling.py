# SPDX-License-Identifier: Apache-2.0
"""Settling: what holds at the end does not depend on the order in which things come."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.quality.items import Sent
from gateway.quality.truth import Conflict, Truth
from gateway.wire.samples import Samples
from tests.support.ledgers import TEN, Adding, hub_over, made, opened

# What is said of four rows: by whom, which class, and when.
LABELS = st.builds(
    Sent,
    id=st.sampled_from("abcx"),
    row=st.integers(0, 1),
    value=st.integers(0, 2),
    source=st.sampled_from(["", "ann"]),
    time=st.sampled_from([1.0, 2.0, 3.0]),
)
# An id that no prediction has is an orphan; a shadow answers some of them too.
PREDICTIONS = [
    ("a", 0, "live"), ("a", 1, "live"), ("b", 0, "live"), ("c", 0, "live"),
    ("a", 0, "shadow"), ("b", 0, "shadow"),
]  # fmt: skip


def prediction(id_: str, row: int, role: Any) -> Samples:
    """One prediction of a live model or of its shadow."""
    name, digest = ("m", "d1") if role == "live" else ("n", "d2")
    return made([id_], [row], rows=[row], role=role, name=name, digest=digest)


async def played(events: list[Sent | tuple[str, int, str]], conflict: Conflict) -> Adding:
    """What listeners know after *events*, in their order, and after a restart."""
    truths = {"m": Truth("classification", TEN.names, conflict=conflict)}
    with tempfile.TemporaryDirectory() as directory:
        async with opened(Path(directory)) as ledger:
            hub, adding = hub_over(ledger, truths=truths)
            for event in events:
                if isinstance(event, Sent):
                    await hub.label("", [event])
                else:
                    hub.take(prediction(*event))
            await ledger.kept("")
        async with opened(Path(directory)) as ledger:
            hub, again = hub_over(ledger, truths=truths)
            hub.open()
            while len(again.told) < len(adding.told):
                await ledger.kept("")
            assert again.keys == adding.keys
    assert adding.once()
    assert again.once()
    return adding


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    labels=st.lists(LABELS, max_size=8),
    conflict=st.sampled_from(["last_wins", "first_wins"]),
    data=st.data(),
)
def test_what_holds_does_not_depend_on_the_order(
    labels: list[Sent], conflict: Conflict, data: st.DataObject
) -> None:
    """Early, late, repeated, contradicting and orphaned labels, in any order, before and behind."""
    events: list[Any] = [*labels, *labels[:2], *PREDICTIONS]
    shuffled = data.draw(st.permutations(events))
    straight = asyncio.run(played([*PREDICTIONS, *labels], conflict))
    other = asyncio.run(played(shuffled, conflict))
    assert other.cells == straight.cells
    expected: dict[tuple[str, int, str, str], tuple[float, float]] = {}
    for label in labels:
        for id_, row, role in PREDICTIONS:
            if (id_, row) == (label.id, label.row):
                who = (id_, row, role, label.source)
                mine = (float(label.time or 0), float(label.value))
                held = expected.get(who, mine)
                expected[who] = max(held, mine) if conflict == "last_wins" else min(held, mine)
    assert sum(straight.cells.values()) == len(expected)
    assert sorted(cell[-1] for cell in straight.cells.elements()) == sorted(
        value for _, value in expected.values()
    )
