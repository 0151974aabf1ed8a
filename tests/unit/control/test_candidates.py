# SPDX-License-Identifier: Apache-2.0
"""Candidates: evidence becomes generations, in an order that leaves one truth whoever dies."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.control.candidate_views import counted
from gateway.control.publisher import OperationFailed
from gateway.quality.candidates.course import Step
from gateway.telemetry.snapshot import merge
from gateway.wire.generation import Rollout
from tests.support.candidates import Scene
from tests.support.pairs import labelled, shadowed


async def test_it_begins_by_itself_and_once() -> None:
    """As soon as the configuration has it; nothing is decided."""
    scene = Scene()
    await scene.round()
    await scene.round()

    assert scene.rollout == Rollout("c", began=1000.0, since=1000.0)
    assert scene.log == ["share 0"]


async def test_it_is_promoted_through_its_stages() -> None:
    """Every step is decided in the ledger, then in effect, then in the audit log."""
    scene = Scene()
    await scene.round()
    scene.pairs()
    await scene.round(seconds=10)
    half = scene.rollout
    await scene.round(seconds=10)
    scene.serve()
    await scene.round()

    assert (half.share, half.digest, half.beside, half.state) == (
        0.5, "candidate", "live", "running",
    )  # fmt: skip
    assert (scene.rollout.share, scene.rollout.state) == (1.0, "promoted")
    # Another question is asked from then on.
    assert scene.rollout.began == 1020.0
    assert scene.candidates.comparisons.evidence("m") is None
    assert scene.log[1:] == [
        "decided advance", "share 0.5", "automatic: candidate: advance",
        "decided promote", "share 1", "automatic: candidate: promote",
    ]  # fmt: skip
    assert [event.name for event in scene.events] == ["advance", "promote"]
    assert "shown to be worse by less than 1.00%" in scene.events[-1].sentence
    assert scene.events[-1].detail["evidence"]["decision"]["pairs"]["rows"] == 2000


async def test_what_cannot_be_written_down_is_not_promoted_but_taken_back() -> None:
    """Evidence comes before a share, safety before evidence."""
    scene = Scene()
    await scene.round()
    scene.pairs()
    scene.book.broken = True
    await scene.round(seconds=10)
    assert scene.rollout.share == 0
    scene.book.broken = False
    await scene.round()
    assert scene.rollout.share == 0.5
    scene.book.broken = True
    scene.pairs(4000, lost=2000)
    await scene.round()
    assert (scene.rollout.share, scene.rollout.state) == (0.0, "rolled back")


async def test_killed_before_the_audit_the_next_life_writes_what_it_finds() -> None:
    """The generation says what holds; it is told once."""
    scene = Scene()
    await scene.round()
    scene.pairs()
    await scene.round(seconds=10)
    scene.book.entries.clear()
    scene.begin()
    await scene.round()
    await scene.round()

    assert scene.rollout.share == 0.5
    assert scene.log[4:] == ["automatic: candidate: found in effect"]


async def test_killed_before_the_generation_it_is_decided_again() -> None:
    """A decision alone changes nothing."""
    scene = Scene()
    await scene.round()
    scene.pairs()
    scene.publisher.fails = True
    await scene.round(seconds=10)
    assert (scene.rollout.share, scene.log[1:]) == (0.0, ["decided advance"])
    scene.publisher.fails = False
    scene.begin()
    scene.pairs()
    await scene.round()
    assert scene.rollout.share == 0.5


async def test_after_its_promotion_it_is_taken_back_when_it_gets_worse() -> None:
    """By rows that the model has answered behind it."""
    scene = Scene()
    await scene.round()
    await scene.candidates.take("m", Step("promote", 1.0, "by hand"), None, actor="a")
    turned = {"name": "m", "digest": "live", "live_digest": "candidate"}
    live, candidate = [0] * 1000, [0] * 1000
    scene.candidates.comparisons.predicted(shadowed(candidate, live, start=scene.now, **turned))
    await scene.round(seconds=1)
    assert scene.rollout.state == "promoted"
    candidate = [1] * 400 + [0] * 600
    start = scene.now + 1000
    scene.candidates.comparisons.predicted(shadowed(candidate, live, start=start, **turned))
    scene.candidates.comparisons.joined(labelled(candidate, live, live, start=start, **turned))
    await scene.round(seconds=1)

    assert (scene.rollout.share, scene.rollout.state) == (0.0, "rolled back")
    assert scene.events[-1].sentence.startswith("Since its promotion")


async def test_failures_of_a_stage_count_from_its_beginning() -> None:
    """What was counted before belongs to another share."""
    scene = Scene()
    scene.serve(candidate="failed")
    await scene.round()
    scene.pairs()
    await scene.round(seconds=10)
    await scene.round(seconds=1)
    assert scene.rollout.share == 0.5
    scene.serve(candidate="failed")
    await scene.round()

    assert scene.rollout.state == "rolled back"
    assert "The candidate failed 300 of 300 live requests, the model 0 of 300" in (
        scene.events[-1].sentence
    )


async def test_a_word_is_said_once() -> None:
    """By hand, and when the time is over."""
    scene = Scene("horizon: 100s", auto=False)
    await scene.round()
    for _ in range(3):
        await scene.round(seconds=100)
    scene.pairs()
    for _ in range(3):
        await scene.round(seconds=100)

    assert [event.sentence[:12] for event in scene.events] == ["Inconclusive", "It may be pr"]
    assert {event.name for event in scene.events} == {"advice"}
    assert scene.rollout.share == 0


async def test_what_was_moved_meanwhile_is_not_moved_again() -> None:
    """Two hands on one candidate: the second one is told."""
    scene = Scene()
    await scene.round()
    before = scene.book.decide

    async def slow(*arguments: Any) -> int:
        await scene.operations.set_rollout(
            "m", lambda rollout: msgspec.structs.replace(rollout or Rollout("c"), share=0.2)
        )
        return await before(*arguments)

    scene.book.decide = slow  # type: ignore[method-assign,assignment] # another hand, in between
    with pytest.raises(OperationFailed, match="moved meanwhile"):
        await scene.candidates.take("m", Step("promote", 1.0, "by hand"), None, actor="a")
    assert scene.rollout.share == 0.2


async def test_held_is_a_generation_too() -> None:
    """With its line in the audit log."""
    scene = Scene()
    await scene.round()
    scene.pairs()
    assert (await scene.candidates.hold("m", held=True, actor="ann")).held
    await scene.round(seconds=100)
    assert scene.rollout.share == 0
    await scene.candidates.hold("m", held=False, actor="ann")
    await scene.round()
    assert scene.rollout.share == 0.5
    assert [line for line in scene.log if line.startswith("ann")] == [
        "ann: candidate: hold", "ann: candidate: release",
    ]  # fmt: skip


def test_the_arms_are_read_of_the_metrics() -> None:
    """With all buckets; none where nothing was counted."""
    scene = Scene()
    scene.serve(requests=3)
    found = counted(merge([scene.telemetry.take()]), scene.telemetry, "m")
    empty = counted(merge([]), scene.telemetry, "m")

    assert (found.live.ok, sum(found.candidate.seconds)) == (3, 3)
    assert (empty.live.ok, len(empty.live.seconds)) == (0, len(found.bounds) + 1)


async def test_a_hand_may_be_quicker_than_the_beginning() -> None:
    """Who promotes what has not begun yet, and is overtaken by its beginning, is not refused."""
    scene = Scene()
    before = scene.book.decide

    async def slow(*arguments: Any) -> int:
        await scene.candidates._begin()
        return await before(*arguments)

    scene.book.decide = slow  # type: ignore[method-assign,assignment] # the loop, in between
    await scene.candidates.take("m", Step("promote", 1.0, "by hand"), None, actor="a")
    assert scene.rollout.share == 1.0
