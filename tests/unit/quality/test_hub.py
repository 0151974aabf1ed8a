# SPDX-License-Identifier: Apache-2.0
"""The hub over a ledger on disk: what becomes of labels, whenever they and predictions come."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from gateway.edge.ids import new_id
from gateway.quality.items import Sent
from gateway.quality.labels import Result
from gateway.quality.truth import Truth
from tests.support.ledgers import TEN, hub_over, made, opened

DAY = 86400.0


def words(results: list[Result]) -> list[str]:
    """What became of each."""
    return [each.result for each in results]


async def test_a_label_joins_its_own_row(tmp_path: Path) -> None:
    """Row i of a batch is (id, i); another row, and another id, wait."""
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        hub.take(made(["a", "a", "b"], [1, 2, 3], rows=[0, 1, 0]))
        results = await hub.label("", [Sent("a", 1, 2), Sent("b", 0, "4"), Sent("b", 1, 4)])
        assert words(results) == ["joined", "joined", "buffered"]
        assert adding.cells == {("m", "d1", "live", 2, 2): 1, ("m", "d1", "live", 3, 4): 1}


async def test_the_same_label_again_changes_nothing(tmp_path: Path) -> None:
    """However it is written: a sender may repeat what it is not sure of."""
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        hub.take(made(["a"], [1]))
        (first,) = await hub.label("", [Sent("a", 0, 7)])
        again = await hub.label("", [Sent("a", 0, "7"), Sent("a", 0, 7.0)])
        assert words(again) == ["duplicate", "duplicate"]
        assert {each.seq for each in again} == {first.seq}
        assert sum(adding.cells.values()) == 1


async def test_an_early_label_waits_for_its_prediction(tmp_path: Path) -> None:
    """Also across a restart of the process that holds it."""
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        results = await hub.label("", [Sent("a", 0, 3), Sent("a", 0, 3), Sent("b", 0, 1)])
        assert words(results) == ["buffered", "duplicate", "buffered"]
        hub.take(made(["a"], [2]))
        await ledger.kept("")
        assert adding.cells == {("m", "d1", "live", 2, 3): 1}
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        hub.take(made(["b"], [1]))
        await ledger.kept("")
        assert adding.cells[("m", "d1", "live", 1, 1)] == 1


async def test_a_label_for_nothing_becomes_an_orphan(tmp_path: Path) -> None:
    """After its time to wait, which is that of its model where it says which."""
    now = [1e9]
    async with opened(tmp_path, clock=lambda: now[0]) as ledger:
        truths = {"m": Truth("classification", TEN.names, wait=60.0)}
        hub, adding = hub_over(ledger, truths=truths, clock=lambda: now[0])
        await hub.label("", [Sent("garbage", 0, 3, model="m"), Sent("patient", 0, 3)])
        recording = hub._recording
        now[0] += 59
        await ledger.ask(recording.expire)
        assert recording.waiting == 2
        now[0] += 2
        await ledger.ask(recording.expire)
        assert recording.waiting == 1
        assert ledger.telemetry.quality.labels.cell("m", "orphan_expired").value == 1
        # Too late: whatever comes under this id now has no label.
        hub.take(made(["garbage", "patient"], [1, 2]))
        await ledger.kept("")
        assert adding.cells == {("m", "d1", "live", 2, 3): 1}


async def test_an_id_tells_by_its_time_what_it_cannot_be(tmp_path: Path) -> None:
    """A UUIDv7 of the future was not made here; an old one without a prediction has none."""
    future = f"{int((time.time() + 3600) * 1000):012x}"
    past = f"{int((time.time() - 2 * 3600) * 1000):012x}"
    ancient = f"{int((time.time() - 40 * DAY) * 1000):012x}"
    ids = [f"{each[:8]}-{each[8:]}-7000-8000-000000000000" for each in (future, past, ancient)]
    async with opened(tmp_path) as ledger:
        hub, _ = hub_over(ledger)
        results = await hub.label("", [Sent(each, 0, 1) for each in ids])
        assert words(results) == ["rejected", "expired", "expired"]
        assert "future" in results[0].reason
        assert "not chosen, or lost" in results[1].reason
        assert "any more" in results[2].reason


async def test_a_prediction_can_be_too_old(tmp_path: Path) -> None:
    """Beyond the reach of its model's labels."""
    async with opened(tmp_path) as ledger:
        truths = {"m": Truth("classification", TEN.names, reach=DAY)}
        hub, adding = hub_over(ledger, truths=truths)
        now = time.time()
        hub.take(made(["old", "new"], [1, 1], times=[now - 2 * DAY, now - DAY / 2]))
        results = await hub.label("", [Sent("old", 0, 1), Sent("new", 0, 1)])
        assert words(results) == ["expired", "joined"]
        assert results[0].reason == "its prediction is 2.0 days old"
        assert sum(adding.cells.values()) == 1


@pytest.mark.parametrize(
    ("policy", "winner", "outcome"),
    [("last_wins", 5, "holds in place of"), ("first_wins", 4, "another"), ("reject", 4, "another")],
)
async def test_of_two_labels_one_holds(
    tmp_path: Path, policy: str, winner: int, outcome: str
) -> None:
    """Which one, the policy says; the old cell is taken out where the new one goes in."""
    async with opened(tmp_path) as ledger:
        truths = {"m": Truth("classification", TEN.names, conflict=policy)}  # type: ignore[arg-type] # one of them
        hub, adding = hub_over(ledger, truths=truths)
        hub.take(made(["a"], [1]))
        results = await hub.label("", [Sent("a", 0, 4), Sent("a", 0, 5)])
        assert words(results) == ["joined", "conflict"]
        assert results[1].reason.startswith(outcome)
        assert adding.cells == {("m", "d1", "live", 1, winner): 1}


async def test_a_time_goes_before_the_order_of_arrival(tmp_path: Path) -> None:
    """The label that was made last holds, though it came first."""
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        hub.take(made(["a"], [1]))
        await hub.label("", [Sent("a", 0, 5, time=200.0)])
        (late,) = await hub.label("", [Sent("a", 0, 4, time=100.0)])
        assert (late.result, late.reason) == ("conflict", "another label holds")
        assert adding.cells == {("m", "d1", "live", 1, 5): 1}


async def test_a_correction_leaves_no_trace_of_the_old_value(tmp_path: Path) -> None:
    """What counts is what would count had the right label come first."""
    async with opened(tmp_path / "a") as ledger, opened(tmp_path / "b") as other:
        hub, corrected = hub_over(ledger)
        right, straight = hub_over(other)
        for each in (hub, right):
            each.take(made(["a", "b"], [1, 2]))
        (wrong,) = await hub.label("", [Sent("a", 0, 9)])
        (mended,) = await hub.label("", [Sent("a", 0, 1, supersedes=wrong.seq)])
        await right.label("", [Sent("a", 0, 1)])
        assert (mended.result, mended.reason) == ("joined", f"in place of {wrong.seq}")
        assert corrected.cells == straight.cells
        assert corrected.keys == straight.keys
        signs = [int(sign) for message in corrected.messages for sign in message.sign]
        assert signs == [1, -1, 1]


async def test_a_correction_says_what_it_corrects(tmp_path: Path) -> None:
    """One that was made of an older label than the one that holds is not taken blindly."""
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        hub.take(made(["a"], [1]))
        (none,) = await hub.label("", [Sent("a", 0, 9, supersedes=1)])
        assert none.result == "rejected"
        (first,) = await hub.label("", [Sent("a", 0, 9)])
        (second,) = await hub.label("", [Sent("a", 0, 8)])
        (stale,) = await hub.label("", [Sent("a", 0, 7, supersedes=first.seq)])
        assert (stale.result, stale.seq) == ("conflict", second.seq)
        assert adding.cells == {("m", "d1", "live", 1, 8): 1}


async def test_each_source_has_a_label_of_its_own(tmp_path: Path) -> None:
    """Several people may label one prediction; each is told apart."""
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        hub.take(made(["a"], [1]))
        results = await hub.label(
            "", [Sent("a", 0, 1, source="ann"), Sent("a", 0, 2, source="bob"), Sent("a", 0, 1)]
        )
        assert words(results) == ["joined"] * 3
        assert len(adding.keys) == 3
        (message,) = adding.messages
        assert [message.sources[each] for each in message.source] == ["ann", "bob", ""]


async def test_a_tenant_labels_its_own_predictions_alone(tmp_path: Path) -> None:
    """Ids are those of a tenant: the same one of another means another prediction."""
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        hub.take(made(["a"], [1], tenant="red"))
        hub.take(made(["a"], [2], tenant="blue"))
        assert words(await hub.label("green", [Sent("a", 0, 1)])) == ["buffered"]
        assert words(await hub.label("blue", [Sent("a", 0, 9)])) == ["joined"]
        assert adding.cells == {("m", "d1", "live", 2, 9): 1}


async def test_a_label_joins_each_model_under_its_own_digest(tmp_path: Path) -> None:
    """The live model and its shadows gave one answer each; a shadow's may come behind the label."""
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        hub.take(made(["a"], [1], digest="d1"))
        hub.take(made(["a"], [2], digest="d2", role="shadow", name="n"))
        assert words(await hub.label("", [Sent("a", 0, 2)])) == ["joined"]
        hub.take(made(["a"], [3], digest="d3", role="shadow", name="o"))
        await ledger.kept("")
        assert adding.cells == {
            ("m", "d1", "live", 1, 2): 1,
            ("m", "d2", "shadow", 2, 2): 1,
            ("m", "d3", "shadow", 3, 2): 1,
        }
        # A correction reaches all of them.
        await hub.label("", [Sent("a", 0, 5)])
        assert {cell[-1] for cell in adding.cells} == {5}
        assert sum(adding.cells.values()) == 3


async def test_two_versions_in_play_are_told_apart(tmp_path: Path) -> None:
    """A label joins the version that answered, and no other."""
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        hub.take(made(["a", "b"], [1, 1], digest="old"))
        hub.take(made(["c"], [1], digest="new"))
        await hub.label("", [Sent("b", 0, 1), Sent("c", 0, 2)])
        assert adding.cells == {("m", "old", "live", 1, 1): 1, ("m", "new", "live", 1, 2): 1}


async def test_an_id_that_is_used_again_means_its_last_request(tmp_path: Path) -> None:
    """A label that was there is not carried over to what comes under its id later."""
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        hub.take(made(["1"], [1]))
        hub.take(made(["1"], [2]))
        await hub.label("", [Sent("1", 0, 9)])
        hub.take(made(["1"], [3]))
        await ledger.kept("")
        assert adding.cells == {("m", "d1", "live", 2, 9): 1}


async def test_an_id_of_two_models_needs_the_model(tmp_path: Path) -> None:
    """Rather than counting for whichever comes first."""
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger, truths={"m": TEN, "n": TEN})
        hub.take(made(["1"], [1]))
        hub.take(made(["1"], [2], model="n"))
        (refused,) = await hub.label("", [Sent("1", 0, 9)])
        assert (refused.result, "'model'" in refused.reason) == ("rejected", True)
        results = await hub.label("", [Sent("1", 0, 9, model="n"), Sent("1", 0, 8, model="m")])
        assert words(results) == ["joined", "joined"]
        assert adding.cells == {("n", "d1", "live", 2, 9): 1, ("m", "d1", "live", 1, 8): 1}


async def test_labels_that_come_with_requests_take_the_same_road(tmp_path: Path) -> None:
    """They are joined at once, and counted; a wrong one is counted as refused."""
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        hub.take(made(["a", "b", "c"], [1, 2, 3], labels=["1", None, "cat"]))
        await ledger.kept("")
        assert adding.cells == {("m", "d1", "live", 1, 1): 1}
        counted = ledger.telemetry.quality.labels
        assert counted.cell("m", "joined").value == counted.cell("m", "rejected").value == 1
        assert words(await hub.label("", [Sent("a", 0, 1)])) == ["duplicate"]


async def test_only_so_many_labels_wait(tmp_path: Path) -> None:
    """Somebody who sends labels for nothing cannot fill the memory."""
    async with opened(tmp_path) as ledger:
        hub, _ = hub_over(ledger, early=2)
        results = await hub.label("", [Sent(f"x{each}", 0, 1) for each in range(3)])
        assert words(results) == ["buffered", "buffered", "rejected"]
        assert "ledger.early_labels" in results[2].reason
        hub.take(made(["x0"], [1]))
        assert words(await hub.label("", [Sent("x2", 0, 1)])) == ["buffered"]


async def test_the_other_tasks_join_too(tmp_path: Path) -> None:
    """Numbers and sets of labels, in columns of their own types."""
    async with opened(tmp_path) as ledger:
        truths = {"m": Truth("regression"), "n": Truth("multilabel", ("red", "green"))}
        hub, adding = hub_over(ledger, truths=truths)
        hub.take(made(["a"], [1.5], dtype=np.float64))
        hub.take(made(["b"], [2], model="n", dtype=np.uint64))
        results = await hub.label("", [Sent("a", 0, "2.25"), Sent("b", 0, ["red", "green"])])
        assert words(results) == ["joined", "joined"]
        assert [message.true.dtype for message in adding.messages] == [np.float64, np.uint64]
        assert set(adding.cells) == {("m", "d1", "live", 1.5, 2.25), ("n", "d1", "live", 2, 3)}


async def test_every_answer_is_on_disk(tmp_path: Path) -> None:
    """Also that of a label which does not hold, and of one that came too late."""
    async with opened(tmp_path) as ledger:
        hub, _ = hub_over(ledger)
        hub.take(made(["a", "b"], [1, 1], times=[time.time(), 1e9]))
        results = await hub.label(
            "", [Sent("a", 0, 4), Sent("a", 0, 5), Sent("b", 0, 1), Sent("c", 0, 1)]
        )
        assert words(results) == ["joined", "conflict", "expired", "buffered"]
    async with opened(tmp_path) as ledger:
        for id_, expected in (("a", [4, 5]), ("b", [1]), ("c", [1])):
            assert [each.content for each in await ledger.labels("", id_)] == expected


async def test_many_ids_are_found_in_many_blocks(tmp_path: Path) -> None:
    """Each once, with the columns of its own row."""
    async with opened(tmp_path) as ledger:
        hub, adding = hub_over(ledger)
        ids = [new_id() for _ in range(3000)]
        for start in range(0, 3000, 700):
            several = ids[start : start + 700]
            hub.take(made(several, [hash(each) % 10 for each in several]))
        order = np.random.default_rng(1).permutation(3000)
        await hub.label("", [Sent(ids[each], 0, hash(ids[each]) % 10) for each in order])
        assert sum(adding.cells.values()) == 3000
        assert all(cell[3] == cell[4] for cell in adding.cells)


async def test_the_ledger_may_be_opened_by_whoever_needs_it_first(tmp_path: Path) -> None:
    """What it holds is told all the same."""
    async with opened(tmp_path) as ledger:
        hub, _ = hub_over(ledger)
        hub.take(made(["a"], [1]))
    async with opened(tmp_path) as ledger:
        _, adding = hub_over(ledger)
        while not adding.told:
            await ledger.kept("")
        assert sum(adding.told.values()) == 1
