# SPDX-License-Identifier: Apache-2.0
"""Replay: after a restart everything is told once more, and what comes meanwhile fits in."""

from __future__ import annotations

from pathlib import Path

from gateway.quality.items import Sent
from gateway.quality.replay import Replay
from tests.support.ledgers import Adding, hub_over, made, opened


async def test_all_is_told_again_once(tmp_path: Path) -> None:
    """In as many blocks as there are, each with the labels that hold."""
    ids = [f"i{each}" for each in range(20_000)]
    async with opened(tmp_path) as ledger:
        hub, first = hub_over(ledger)
        hub.take(made(ids, [each % 10 for each in range(20_000)]))
        hub.take(made(["i1"], [4], role="shadow", name="n", digest="d2"))
        await hub.label("", [Sent(each, 0, 7) for each in ids[::3]])
        await hub.label("", [Sent(ids[3], 0, 8), Sent("i1", 0, 4)])
    async with opened(tmp_path) as ledger:
        hub, second = hub_over(ledger)
        hub.open()
        while len(second.told) < len(first.told):
            await ledger.kept("")
        assert second.once()
        assert second.cells == first.cells
        assert second.keys == first.keys


async def test_what_comes_meanwhile_is_told_once_too(tmp_path: Path) -> None:
    """A label for a prediction that is still to be told comes with it, and not before."""
    ids = [f"i{each}" for each in range(20_000)]
    async with opened(tmp_path) as ledger:
        hub, _ = hub_over(ledger)
        hub.take(made(ids, [1] * 20_000))
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        hub.open()
        # Before the first step, and between the others, of a replay of some forty blocks.
        for each in range(0, 20_000, 1000):
            await hub.label("", [Sent(ids[each], 0, 1), Sent(ids[-1 - each], 0, 2)])
            hub.take(made([f"new{each}"], [3]))
            await hub.label("", [Sent(ids[each], 0, 5)])
        while len(adding.told) < 20_020:
            await ledger.kept("")
        assert adding.once()
        assert adding.cells == {("m", "d1", "live", 1, 5): 20, ("m", "d1", "live", 1, 2): 20}


async def test_who_kept_a_state_is_not_told_again(tmp_path: Path) -> None:
    """It hears what is new alone, also of predictions of before."""
    async with opened(tmp_path) as ledger:
        hub, _ = hub_over(ledger)
        hub.take(made(["a", "b"], [1, 2]))
        await hub.label("", [Sent("a", 0, 1)])
    async with opened(tmp_path) as ledger:
        hub, told = hub_over(ledger)
        own = Adding()
        hub.add(own, replay=False)
        await hub.label("", [Sent("b", 0, 2)])
        while len(told.told) < 2:
            await ledger.kept("")
        assert sum(told.cells.values()) == 2
        assert own.cells == {("m", "d1", "live", 2, 2): 1}
        assert not own.told


def test_a_replay_knows_what_is_ahead() -> None:
    """Nothing of what was not there at its start."""
    replay = Replay(2)
    assert replay.is_ahead(1)
    assert replay.is_ahead(2)
    assert not replay.is_ahead(3)
    assert Replay(0).over
