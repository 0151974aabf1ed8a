# SPDX-License-Identifier: Apache-2.0
"""Course: which step follows from what is known, forward, back, and not at all."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from gateway.quality.candidates.comparisons import Comparisons, Evidence, Plan
from gateway.quality.candidates.course import Arm, Arms, Course, Standing, next_step, slow_limit
from tests.support.pairs import labelled, shadowed

BOUNDS = (0.01, 0.012, 0.0144, 0.02, 0.04)
COURSE = Course(auto=True, hold=10.0, horizon=1000.0, min_requests=100)
START = Standing(share=0.0, began=0.0, since=0.0)
AT_TEN = Standing(share=0.1, began=0.0, since=100.0, digest="candidate", beside="live")


def evidence(differ: int = 0, *, lost: int = 0, rows: int = 2000, **more: object) -> Evidence:
    """Of *rows*, *differ* differ and have no label; the candidate has *lost* others."""
    made = Comparisons(random=Random(1))
    made.follow({"m": Plan(candidate="c", margin=0.02, min_rows=1)}, {"m": 0.0})
    live, candidate = [0] * rows, [1] * (differ + lost) + [0] * (rows - differ - lost)
    made.predicted(shadowed(live, candidate, **more))
    if lost:
        made.joined(labelled(live[:lost], candidate[:lost], live[:lost], **more))
    found = made.evidence("m")
    assert found is not None
    return found


def arm(ok: int, failed: int = 0, bucket: int = 0) -> Arm:
    """*ok* answers in *bucket*."""
    return Arm(ok, failed, tuple(ok if place == bucket else 0 for place in range(6)))


def arms(live: Arm | None = None, candidate: Arm | None = None) -> Arms:
    """Both, quick and without failures where nothing else is said."""
    return Arms(live or arm(1000), candidate or arm(200), BOUNDS)


GOOD, OPEN, BAD = evidence(), evidence(60), evidence(lost=200)


def test_it_goes_through_its_stages() -> None:
    """Each after the time it holds; the last share is the promotion."""
    shares, kinds, standing = [], [], START
    for _ in range(6):
        time = standing.since + COURSE.hold
        assert next_step(COURSE, standing, GOOD, arms(), time=time - 0.1) is None
        step = next_step(COURSE, standing, GOOD, arms(), time=time)
        if step is None:
            break
        shares.append(step.share)
        kinds.append(step.kind)
        standing = replace(standing, share=step.share, since=time, digest="", beside="",
                           state="promoted" if step.kind == "promote" else "running")  # fmt: skip
        assert step.reason == GOOD.decision.sentence

    assert shares == [0.01, 0.1, 0.5, 1.0]
    assert kinds == ["advance"] * 3 + ["promote"]


def test_by_hand_it_only_tells() -> None:
    """That it may be promoted; nothing moves."""
    step = next_step(replace(COURSE, auto=False), START, GOOD, arms(), time=1e9)

    assert step is not None
    assert (step.kind, step.share) == ("tell", 0.0)
    assert step.reason.startswith("It may be promoted. On 2000 rows")


def test_without_proof_it_stays_and_tells_so_in_the_end() -> None:
    """Neither with pairs that prove nothing, nor without any."""
    for unproven in (OPEN, None):
        assert next_step(COURSE, START, unproven, arms(), time=999.0) is None
        step = next_step(COURSE, START, unproven, arms(), time=1000.0)
        assert step is not None
        assert step.kind == "tell"
        assert step.reason.startswith("Inconclusive: after 0.0116 days")


@pytest.mark.parametrize("auto", [True, False])
def test_a_worse_one_goes_back_whoever_moves_it_forward(auto: bool) -> None:  # noqa: FBT001 - a parameter
    """At once, whatever the stage holds."""
    course = replace(COURSE, auto=auto)
    for standing in (START, replace(AT_TEN, share=0.5)):
        step = next_step(course, standing, BAD, arms(), time=100.0)
        assert step is not None
        assert (step.kind, step.share) == ("roll back", 0.0)
        assert "shown to be worse by more than 2.00%" in step.reason


def test_held_nothing_moves_it() -> None:
    """Not even what would take it back."""
    for standing in (replace(START, held=True), replace(AT_TEN, held=True)):
        for known in (GOOD, BAD, None):
            assert next_step(COURSE, standing, known, arms(), time=1e9) is None


def test_promoted_it_is_watched_by_the_mirror() -> None:
    """Good evidence changes nothing, harm takes it back."""
    standing = replace(AT_TEN, share=1.0, state="promoted")

    assert next_step(COURSE, standing, GOOD, arms(), time=1e9) is None
    assert next_step(COURSE, standing, None, arms(), time=1e9) is None
    step = next_step(COURSE, standing, BAD, arms(), time=101.0)
    assert step is not None
    assert step.kind == "roll back"
    assert step.reason.startswith("Since its promotion the new model was at some time worse")


def test_rolled_back_it_stays_so_until_another_file_comes() -> None:
    """The same file has had its chance."""
    standing = replace(AT_TEN, share=0.0, state="rolled back")

    assert next_step(COURSE, standing, GOOD, arms(), time=1e9) is None
    step = next_step(COURSE, standing, evidence(digest="new"), arms(), time=1e9)
    assert step is not None
    assert (step.kind, step.share) == ("begin anew", 0.0)


def test_another_file_takes_the_share_away() -> None:
    """The candidate's at any time, the model's while it is what the candidate is compared with."""
    promoted = replace(AT_TEN, share=1.0, state="promoted")
    new, moved = evidence(digest="new"), evidence(live_digest="moved")

    for standing, known, wanted in (
        (AT_TEN, new, "The candidate's file is another one"),
        (AT_TEN, moved, "The model's own file is another one"),
        (promoted, new, "The candidate's file is another one"),
    ):
        step = next_step(COURSE, standing, known, arms(), time=105.0)
        assert step is not None
        assert (step.kind, step.share) == ("begin anew", 0.0)
        assert step.reason.startswith(wanted)
    assert next_step(COURSE, promoted, moved, arms(), time=105.0) is None


def test_failures_above_those_of_the_model_take_it_back() -> None:
    """Where they are certain: the same share of few requests is not."""
    sure = arms(arm(1000, 1), arm(150, 50))
    unsure = arms(arm(1000, 1), arm(199, 1))
    as_bad = arms(arm(800, 200), arm(160, 40))

    step = next_step(COURSE, AT_TEN, GOOD, sure, time=105.0)
    assert step is not None
    assert step.kind == "roll back"
    assert step.reason.startswith(
        "The candidate failed 50 of 200 live requests, the model 1 of 1001"
    )
    for fine in (unsure, as_bad):
        assert next_step(COURSE, AT_TEN, GOOD, fine, time=105.0) is None


def test_a_slow_one_goes_back_and_one_that_looks_slow_waits() -> None:
    """Against the slowest hundredth of the model's answers, at the same time."""
    slow = arms(candidate=arm(200, bucket=3))
    few = arms(candidate=Arm(200, 0, (197, 0, 0, 3, 0, 0)))
    later = AT_TEN.since + COURSE.hold

    step = next_step(COURSE, AT_TEN, GOOD, slow, time=105.0)
    assert step is not None
    assert step.kind == "roll back"
    assert step.reason.startswith("200 of 200 answers of the candidate took longer than 0.012 s")
    assert next_step(COURSE, AT_TEN, GOOD, few, time=later) is None
    assert next_step(replace(COURSE, p99_ratio=None), AT_TEN, GOOD, slow, time=later) is not None


def test_it_goes_on_when_it_has_answered_enough() -> None:
    """And when the model has, beside which it is timed."""
    later = AT_TEN.since + COURSE.hold

    assert next_step(COURSE, AT_TEN, GOOD, arms(candidate=arm(99)), time=later) is None
    assert next_step(COURSE, AT_TEN, GOOD, arms(live=arm(99)), time=later) is None
    assert next_step(COURSE, AT_TEN, GOOD, arms(arm(100), arm(100)), time=later) is not None


@pytest.mark.parametrize(
    ("seconds", "limit"),
    [
        ((1000, 0, 0, 0, 0, 0), 1),
        # One of a hundred is the hundredth itself, one more is above it.
        ((990, 0, 10, 0, 0, 0), 1),
        ((989, 0, 11, 0, 0, 0), 3),
        ((900, 0, 0, 0, 100, 0), None),
        ((900, 0, 0, 0, 0, 100), None),
    ],
)
def test_the_limit_is_the_bucket_above(seconds: tuple[int, ...], limit: int | None) -> None:
    """1.2 times the bound of the bucket in which the slowest hundredth begins."""
    found = slow_limit(COURSE, arms(Arm(1000, 0, seconds)))

    assert found == limit
