# SPDX-License-Identifier: Apache-2.0
"""The life of figures: what is bounded, what survives a restart, and when it alarms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.quality.figures.answer import Answer
from gateway.quality.figures.live import LiveFigures
from gateway.quality.figures.query import Query
from gateway.quality.figures.read import answer
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


def test_combinations_beyond_the_limit_are_counted_together() -> None:
    """Memory is bounded, and what is not told apart is counted and still part of the whole."""
    live = live_of()
    n = 1500
    names = [f"e{place}" for place in range(n)]
    zeros = np.zeros(n, dtype=np.int64)
    live.joined(joined(zeros, zeros, endpoints=names, endpoint=np.arange(n, dtype=np.uint16)))
    told = answer(live, "m", Query())
    assert told.rows.labelled == n
    assert told.rows.left_out == n - 1024
    assert len(told.endpoints) <= 64


def test_model_files_beyond_the_limit_make_room() -> None:
    """The file that has been silent longest is forgotten, and that is counted."""
    live = live_of(most=2)
    zeros = np.zeros(5, dtype=np.int64)
    for place in range(3):
        times = np.full(5, NOON + place)
        live.predicted(samples(zeros, digest=f"d{place}", times=times))
        live.settle()
    assert [key[3] for key in live.groups] == ["d1", "d2"]
    assert live.forgotten == 1


def test_figures_are_the_same_after_a_restart() -> None:
    """A replay of the ledger and what was kept answer as before; what comes early waits for it."""
    clock = Clock()
    n = 300
    scores = parts(RANDOM.dirichlet(np.ones(3), n))
    said, true = scores.argmax(axis=1), RANDOM.integers(0, 3, n)
    times = NOON - RANDOM.random(n) * 90_000
    question = RANDOM.integers(1, 1 << 60, n).astype(np.uint64)
    predictions = samples(said, scores=scores, times=times)
    labels = joined(true, said, scores=scores, times=times, question=question)
    spec = digits(3, targets={"accuracy": 0.9})
    live = live_of(spec, clock)
    live.mark("m", NOON - 5000)
    live.predicted(predictions)
    live.joined(labels)
    live.settle()
    first = answer(live, "m", Query())
    assert first.alarm is not None
    again = LiveFigures({"m": spec}, clock=clock)
    again.predicted(predictions)
    assert answer(again, "m", Query()).rows.predictions == 0
    again.begin(live.keep())
    again.joined(labels)
    for window in ("1h", "24h", "30d", "n:50", "since_promotion"):
        one, other = (answer(each, "m", Query(window=window)) for each in (live, again))
        assert repr(plain(one)) == repr(plain(other))
        assert one.alarm == other.alarm
    broken = LiveFigures({"m": spec}, clock=clock)
    broken.predicted(predictions)
    with pytest.raises(ValueError, match="not a state of figures"):
        broken.begin(b"\xc1")
    assert answer(broken, "m", Query(window="30d")).rows.predictions == n


def test_replayed_labels_raise_no_alarm_again() -> None:
    """Labels of before the start were news to an earlier life: figures have them, the alarm not."""
    told: list[str] = []
    clock = Clock()
    live = live_of(
        digits(3, targets={"accuracy": 0.9}), clock, notify=lambda what, *_: told.append(what)
    )
    zeros = np.zeros(500, dtype=np.int64)
    live.joined(joined(zeros, zeros + 1, labelled=np.full(500, NOON)))
    live.settle()
    assert told == []
    assert answer(live, "m", Query()).figures["accuracy"].value == 0
    live.joined(
        joined(zeros, zeros + 1, key=np.arange(500, 1000), labelled=np.full(500, clock.now))
    )
    live.settle()
    assert told == ["accuracy_alarm"]


def test_a_changed_configuration_keeps_what_still_fits() -> None:
    """New targets judge the old rows; new classes begin anew; a model that went is forgotten."""
    live = live_of(digits(3))
    zeros = np.zeros(100, dtype=np.int64)
    live.joined(joined(zeros, zeros + 1))
    live.configure({"m": digits(3, targets={"accuracy": 0.5})})
    figure = answer(live, "m", Query()).figures["accuracy"]
    assert (figure.n, figure.status) == (100, "below target")
    live.configure({"m": digits(4)})
    assert answer(live, "m", Query()).rows.labelled == 0
    live.configure({})
    assert not live.groups


def test_an_alarm_is_told_once_and_ends_when_it_is_over() -> None:
    """Accuracy far below its target alarms; good rows end it; both are told."""
    told: list[tuple[str, str]] = []
    clock = Clock()
    live = live_of(
        digits(3, targets={"accuracy": 0.9}),
        clock=clock,
        notify=lambda what, model, _: told.append((what, model)),
    )
    zeros = np.zeros(200, dtype=np.int64)
    for place, said in enumerate((0, 1, 1, 0, 0, 0)):
        clock.now += 60
        key = np.arange(200) + 200 * place
        live.joined(
            joined(
                zeros,
                np.full(200, said),
                key=key,
                times=np.full(200, clock.now),
                labelled=np.full(200, clock.now),
            )
        )
        live.settle()
        on = answer(live, "m", Query()).alarm
        assert on is not None
        assert on.on == (place in {1, 2})
    assert told == [("accuracy_alarm", "m"), ("accuracy_recovered", "m")]


def test_buckets_merge_in_any_grouping_and_come_apart_again() -> None:
    """Merging is associative, and taking away gives back what was before, questions included."""
    spec = digits(3)
    cubes = []
    for _ in range(3):
        live = live_of(spec)
        n = 1500
        scores = parts(RANDOM.dirichlet(np.ones(3), n))
        question = RANDOM.integers(1, (1 << 64) - 1, n, dtype=np.uint64)
        live.joined(
            joined(
                RANDOM.integers(0, 3, n), scores.argmax(axis=1), scores=scores,
                question=question, weight=RANDOM.choice([0.5, 1.0, 2.0], n),
            )
        )  # fmt: skip
        live.settle()
        ((_, _, cube),) = live.groups["m", "live", "m", "d1"].labelled
        cubes.append(cube)
    first, second, third = cubes
    left, right = first.copy(), second.copy()
    left.merge(second)
    left.merge(third)
    right.merge(third)
    again = first.copy()
    again.merge(right)
    for name, sums in left.sums.items():
        if name != "questions":
            assert np.array_equal(sums.keys, again.sums[name].keys)
            assert np.allclose(sums.table, again.sums[name].table, rtol=1e-12)
    both = first.copy()
    both.merge(second)
    both.merge(second, -1)
    for name, sums in first.sums.items():
        if name != "questions":
            assert np.array_equal(sums.keys, both.sums[name].keys)
            assert np.allclose(sums.table, both.sums[name].table, rtol=1e-9, atol=1e-9)
    # Of 4,500 questions a uniform part is followed, and it stands for all of them.
    assert left.bound < first.bound
    followed = len(left.sums["questions"].keys) / (left.bound / (1 << 46))
    assert followed == pytest.approx(4500, rel=0.15)


def test_a_corrected_label_is_no_news_to_the_alarm() -> None:
    """A bet cannot be taken back, so a row is bet on once, whatever is said of it later."""
    clock = Clock()
    live = live_of(digits(3, targets={"accuracy": 0.9}), clock)
    zeros = np.zeros(20, dtype=np.int64)
    now = np.full(20, clock.now)
    live.joined(joined(zeros, zeros + 1, labelled=now))
    live.settle()
    detector = live.groups["m", "live", "m", "d1"].detector
    assert detector is not None
    before = detector.evidence
    live.joined(joined(zeros, zeros + 1, labelled=now, sign=-np.ones(20, dtype=np.int8)))
    both = np.concatenate((zeros, zeros + 2))
    live.joined(
        joined(
            both, np.ones(40, dtype=np.int64), labelled=np.full(40, clock.now),
            key=np.concatenate((np.arange(20), np.arange(20))),
            sign=np.repeat(np.asarray([-1, 1], dtype=np.int8), 20),
        )
    )  # fmt: skip
    live.settle()
    assert detector.evidence == before


def test_buckets_that_follow_fewer_questions_set_the_measure() -> None:
    """Of a busy minute a part of the questions is followed: of a quiet one no more than it."""
    live = live_of()
    for number, minute in ((5000, 0), (300, 1)):
        zeros = np.zeros(number, dtype=np.int64)
        live.joined(
            joined(
                zeros, zeros, times=np.full(number, NOON - 60 * minute),
                question=RANDOM.integers(1, (1 << 64) - 1, number, dtype=np.uint64),
            )
        )  # fmt: skip
    assert answer(live, "m", Query()).rows.questions == pytest.approx(5300, rel=0.15)
