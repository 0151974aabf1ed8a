# SPDX-License-Identifier: Apache-2.0
"""Live figures: what is counted where, what is bounded, and what survives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.quality.figures.answer import Answer
from gateway.quality.figures.live import LiveFigures
from gateway.quality.figures.query import Query
from gateway.quality.figures.read import answer, overview
from gateway.quality.figures.spec import Spec
from tests.support.labelled_rows import NOON, Clock, digits, joined, parts, samples

RANDOM = np.random.default_rng(11)


def live_of(spec: Spec | None = None, clock: Clock | None = None, **more: Any) -> LiveFigures:
    """Figures of one model "m"."""
    live = LiveFigures({"m": spec or digits(3)}, clock=clock or Clock(), **more)
    live.begin(None)
    return live


def plain(told: Answer) -> dict[str, tuple[float, float, float]]:
    """The figures of an answer as numbers."""
    return {name: (one.value, one.lower, one.n) for name, one in told.figures.items()}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_labels_changes_nothing(seed: int) -> None:
    """Late and early labels of rows of many minutes end in the same figures, in any order."""
    random = np.random.default_rng(seed)
    n = 200
    true, said = random.integers(0, 3, n), random.integers(0, 3, n)
    times = NOON - random.random(n) * 9000
    scores = parts(random.dirichlet(np.ones(3), n))
    told = []
    for order in (np.arange(n), random.permutation(n)):
        live = live_of()
        for part in np.array_split(order, 7):
            live.joined(
                joined(true[part], said[part], key=part, times=times[part], scores=scores[part])
            )
            live.settle()
        told.append(answer(live, "m", Query(window="30d")))
    first, second = (plain(one) for one in told)
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert values == pytest.approx(second[name], abs=1e-9, nan_ok=True)


def test_a_correction_restores_the_state_without_the_old_label() -> None:
    """Tables after a correction are those of the right label alone, to the last bit."""
    scores = parts(RANDOM.dirichlet(np.ones(3), 50))
    true, said = RANDOM.integers(0, 3, 50), scores.argmax(axis=1)
    wrong = (true + 1) % 3
    corrected, right = live_of(), live_of()
    corrected.joined(joined(wrong, said, scores=scores))
    corrected.settle()
    both = [np.concatenate(pair) for pair in ((wrong, true), (said, said), (scores, scores))]
    sign = np.repeat([-1, 1], 50).astype(np.int8)
    key = np.tile(np.arange(50), 2)
    corrected.joined(joined(both[0], both[1], scores=both[2], sign=sign, key=key))
    right.joined(joined(true, said, scores=scores))
    for live in (corrected, right):
        live.settle()
    ((_, _, cube),) = next(iter(corrected.groups.values())).labelled
    ((_, _, other),) = next(iter(right.groups.values())).labelled
    for name, sums in cube.sums.items():
        assert np.array_equal(sums.keys, other.sums[name].keys)
        assert np.allclose(sums.table, other.sums[name].table, rtol=0, atol=1e-12)
    first, second = (answer(each, "m", Query(window="n:20")) for each in (corrected, right))
    assert repr(plain(first)) == repr(plain(second))


def test_a_strange_class_leaves_the_averages_of_the_configured_ones() -> None:
    """One answer of a class that nobody configured is an error, and no class of its own."""
    true, said = np.arange(90) % 3, np.arange(90) % 3
    live = live_of()
    live.joined(joined(true, said))
    assert answer(live, "m", Query(average="macro")).figures["f1"].value == 1
    live.joined(joined(np.asarray([0]), np.asarray([7]), key=np.asarray([90])))
    told = answer(live, "m", Query(average="macro"))
    # 30 of 31 rows of class 0 are found; nothing else has changed.
    assert told.figures["f1"].value == pytest.approx((60 / 61 + 1 + 1) / 3)
    assert told.confusion is not None
    assert (0, 3, 1, 1.0) in told.confusion.cells
    assert told.confusion.labels == ["0", "1", "2", "(other)"]


def test_rows_of_cache_hits_are_joined_weighted_and_clustered() -> None:
    """A question that was asked again counts by traffic, once by question, and is one cluster."""
    # One question is asked 90 times and always wrong; ten are asked once and right.
    true = np.zeros(100, dtype=np.int64)
    said = np.concatenate((np.ones(90, dtype=np.int64), np.zeros(10, dtype=np.int64)))
    question = np.concatenate((np.full(90, 1 << 62), np.arange(1, 11) << 50)).astype(np.uint64)
    flags = (np.arange(100) < 90).astype(np.uint8)
    live = live_of()
    live.joined(joined(true, said, question=question, flags=flags))
    told = answer(live, "m", Query())
    assert told.figures["accuracy"].value == pytest.approx(0.1)
    assert told.rows.labelled == 100
    assert told.rows.questions == 11
    assert told.by_question is not None
    assert told.by_question.value == pytest.approx(10 / 11)
    # Ninety copies of one answer are hardly more than one row.
    assert told.rows.effective < 12
    assert told.figures["accuracy"].effective == pytest.approx(told.rows.effective)


def test_a_share_of_the_rows_stands_for_all_of_them() -> None:
    """Rows that were kept with probability pi weigh 1 / pi, and are worth fewer rows for it."""
    true = np.zeros(60, dtype=np.int64)
    said = (np.arange(60) >= 30).astype(np.int64)
    pi = np.where(np.arange(60) < 30, 1.0, 0.1).astype(np.float32)
    live = live_of()
    live.joined(joined(true, said, pi=pi))
    told = answer(live, "m", Query())
    assert told.figures["accuracy"].value == pytest.approx(30 / 330, rel=1e-6)
    assert told.rows.effective < 60


def test_a_label_counts_for_its_own_model_file_alone() -> None:
    """With two files of a model in play, each has the rows that it answered."""
    live = live_of()
    right, wrong = np.zeros(40, dtype=np.int64), np.ones(40, dtype=np.int64)
    live.joined(joined(right, right, digest="old"))
    live.joined(joined(right, wrong, digest="new"))
    old, new = (answer(live, "m", Query(digest=each)) for each in ("old", "new"))
    assert (old.figures["accuracy"].value, new.figures["accuracy"].value) == (1.0, 0.0)
    both = answer(live, "m", Query())
    assert both.figures["accuracy"].value == 0.5
    assert [(one.name, one.figure.value) for one in both.files] == [("old", 1.0), ("new", 0.0)]
    with pytest.raises(ValueError, match="digest 'x': those with predictions are old, new"):
        answer(live, "m", Query(digest="x"))


def test_endpoints_and_slices_are_told_apart_and_add_up() -> None:
    """A row counts for its endpoint and for each of its tags."""
    n = 80
    endpoint = (np.arange(n) % 2).astype(np.uint16)
    region = (np.arange(n) // 40).astype(np.uint16)
    true = np.zeros(n, dtype=np.int64)
    said = ((endpoint == 1) & (region == 1)).astype(np.int64)
    live = live_of()
    slices = [{"region": "eu", "kind": "a"}, {"region": "us", "kind": "a"}]
    live.joined(joined(true, said, endpoint=endpoint, slice=region, slices=slices))
    told = answer(live, "m", Query())
    assert {one.name: one.figure.value for one in told.endpoints} == {"e0": 1.0, "e1": 0.5}
    assert {one.name: one.figure.value for one in told.slices} == {
        "region:eu": 1.0, "region:us": 0.5, "kind:a": 0.75,
    }  # fmt: skip
    narrow = answer(live, "m", Query(endpoint="e1", tags={"region": "us"}))
    assert (narrow.figures["accuracy"].value, narrow.rows.labelled) == (0.0, 20)
    with pytest.raises(ValueError, match="endpoint 'e9' has answered nothing; there are e0, e1"):
        answer(live, "m", Query(endpoint="e9"))
    with pytest.raises(ValueError, match="slice 'region:mars' has met no row; there are region: "):
        answer(live, "m", Query(tags={"region": "mars"}))


def test_windows_go_by_the_time_of_the_prediction() -> None:
    """A label that comes a day late counts for the day before, not for the last hour."""
    clock = Clock(NOON + 86_400.0)
    live = live_of(clock=clock)
    zeros = np.zeros(50, dtype=np.int64)
    live.joined(joined(zeros, zeros, times=np.full(50, NOON), labelled=np.full(50, clock.now)))
    assert answer(live, "m", Query(window="1h")).rows.labelled == 0
    told = answer(live, "m", Query(window="30d"))
    assert told.rows.labelled == 50
    assert told.delay.median == pytest.approx(86_400, rel=0.1)


def test_a_window_says_whether_its_labels_are_in() -> None:
    """Predictions younger than most labels take leave figures unsettled, and can be left out."""
    clock = Clock(NOON + 7200.0)
    live = live_of(clock=clock)
    n = 240
    times = NOON + np.arange(n) * 30.0
    zeros = np.zeros(n, dtype=np.int64)
    live.predicted(samples(zeros, times=times))
    # Labels take an hour: those of the last hour are still out.
    known = times + 3600 <= clock.now
    live.joined(
        joined(zeros[known], zeros[known], times=times[known], labelled=times[known] + 3600)
    )
    told = answer(live, "m", Query(window="24h"))
    assert told.delay.p95 == pytest.approx(3600, rel=0.1)
    assert not told.delay.mature
    assert told.rows.coverage == pytest.approx(0.5, abs=0.02)
    settled = answer(live, "m", Query(window="24h", settled=True))
    assert settled.rows.coverage is not None
    assert settled.rows.coverage > 0.95


def test_since_promotion_counts_from_the_promotion_on() -> None:
    """Rows of the same minute that were predicted before it are left out."""
    clock = Clock()
    live = live_of(clock=clock)
    zeros, ones = np.zeros(30, dtype=np.int64), np.ones(30, dtype=np.int64)
    live.joined(joined(zeros, ones, times=np.full(30, NOON)))
    live.mark("m", NOON + 10)
    live.joined(joined(zeros, zeros, key=np.arange(30, 60), times=np.full(30, NOON + 20)))
    told = answer(live, "m", Query(window="since_promotion"))
    assert (told.figures["accuracy"].value, told.rows.labelled) == (1.0, 30)
    assert answer(live, "m", Query()).figures["accuracy"].value == 0.5


def test_too_few_rows_give_no_verdict() -> None:
    """Below the floor a figure is insufficient; above it its target is judged by the interval."""
    spec = digits(3, targets={"accuracy": 0.9})
    live = live_of(spec)
    zeros, ones = np.zeros(10, dtype=np.int64), np.ones(10, dtype=np.int64)
    live.joined(joined(zeros, ones))
    first = answer(live, "m", Query()).figures["accuracy"]
    assert first.status == "insufficient"
    assert first.sentence.find("Too few rows for a verdict") > 0
    more = np.zeros(300, dtype=np.int64)
    live.joined(joined(more, np.ones_like(more), key=np.arange(10, 310)))
    figure = answer(live, "m", Query()).figures["accuracy"]
    assert figure.status == "below target"
    assert figure.target is not None
    assert figure.target.outside_bounds


def test_the_list_of_models_has_those_without_rows() -> None:
    """A model that has answered nothing stands there as insufficient."""
    live = LiveFigures({"a": digits(3), "b": Spec(task="regression")}, clock=Clock())
    live.begin(None)
    first, second = overview(live, Query())
    assert (first.metric, second.metric) == ("accuracy", "mae")
    assert first.figure.status == second.figure.status == "insufficient"
    assert first.rows.labelled == 0


def test_a_shadow_is_asked_for_by_its_role_and_name() -> None:
    """Several shadows of a model are told apart, and no name is a question back."""
    live = live_of()
    zeros, ones = np.zeros(40, dtype=np.int64), np.ones(40, dtype=np.int64)
    live.joined(joined(zeros, zeros, role="shadow", name="m2"))
    live.joined(joined(zeros, ones, role="shadow", name="m3"))
    assert answer(live, "m", Query(role="shadow", name="m2")).figures["accuracy"].value == 1
    with pytest.raises(ValueError, match=r"say name=m2\|m3"):
        answer(live, "m", Query(role="shadow"))
    assert answer(live, "m", Query()).rows.labelled == 0


def test_an_answer_of_the_candidate_is_one_that_callers_got() -> None:
    """By default both count, and each is there alone; a promotion goes on in the same figures."""
    live = live_of()
    zeros, ones = np.zeros(40, dtype=np.int64), np.ones(40, dtype=np.int64)
    live.joined(joined(zeros, zeros))
    live.joined(joined(zeros, ones, role="candidate", name="m2", digest="d2"))
    live.joined(joined(zeros, ones, role="shadow", name="m3"))
    assert answer(live, "m", Query()).figures["accuracy"].value == 0.5
    assert overview(live, Query())[0].rows.labelled == 80
    for role, value in (("live", 1.0), ("candidate", 0.0)):
        assert answer(live, "m", Query(role=role)).figures["accuracy"].value == value  # type: ignore[arg-type]  # roles
