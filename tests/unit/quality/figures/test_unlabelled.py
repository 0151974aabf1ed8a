# SPDX-License-Identifier: Apache-2.0
"""Unlabelled: what is said of rows without labels, and when it must not be believed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.quality.figures.answer import Answer
from gateway.quality.figures.live import LiveFigures
from gateway.quality.figures.query import Query
from gateway.quality.figures.read import answer
from tests.support.labelled_rows import NOON, Clock, digits, joined, parts, samples

HOUR = 3600.0


def told(
    random: np.random.Generator, *, rows: int, labels: int, right: float, drawn: Any = None
) -> tuple[Answer, float]:
    """What is said of *rows* of two classes of which *labels* at random have one.

    Probabilities are even from 0.5 to 1; a row is right with its probability to the power *right*,
    so that 1 is a calibrated model. Gives the true accuracy too.
    """
    live = LiveFigures({"m": digits(2)}, clock=Clock())
    live.begin(None)
    stated = 0.5 + random.random(rows) / 2
    said = random.integers(0, 2, rows)
    correct = random.random(rows) < stated**right
    scores = np.empty((rows, 2))
    scores[np.arange(rows), said] = stated
    scores[np.arange(rows), 1 - said] = 1 - stated
    live.predicted(samples(said, scores=parts(scores)))
    chosen = random.choice(rows, labels, replace=False) if drawn is None else drawn(correct, said)
    true = np.where(correct, said, 1 - said)
    live.joined(joined(true[chosen], said[chosen], scores=parts(scores[chosen]), key=chosen))
    return answer(live, "m", Query(window="1h")), float(correct.mean())


def test_calibrated_probabilities_promise_what_comes_true() -> None:
    """Without drift the promise is the accuracy, of all rows, within its interval."""
    answered, truth = told(np.random.default_rng(1), rows=20_000, labels=200, right=1.0)
    guess = answered.without_labels
    assert guess is not None
    assert guess.lower - 0.005 <= truth <= guess.upper + 0.005
    assert guess.rows == 20_000
    assert guess.promised == pytest.approx(guess.came_true, abs=0.08)


def test_a_promise_never_claims_to_hold_when_the_world_changes() -> None:
    """It says what it assumes, and what came true of the rows that have labels contradicts it."""
    answered, truth = told(np.random.default_rng(2), rows=20_000, labels=1000, right=4.0)
    guess = answered.without_labels
    assert guess is not None
    assert truth < 0.5
    # By construction it cannot go below one half: so it must not stand alone.
    assert guess.value > 0.7
    assert "It cannot see a broken model" in guess.assumes
    assert guess.promised is not None
    assert guess.came_true is not None
    assert guess.promised - guess.came_true > 0.2


def test_labels_keep_the_powered_estimate_right_when_the_world_changes() -> None:
    """Its intervals cover the truth as often as they say, though the confidence is wrong."""
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(120):
        answered, _ = told(random, rows=3000, labels=200, right=4.0)
        powered = answered.prediction_powered
        assert powered is not None
        # The mean of u^4 for u even from 0.5 to 1.
        covered += powered.lower <= (1 - 0.5**5) / 5 / 0.5 <= powered.upper
    assert covered / 120 >= 0.89


def test_few_labels_are_taken_alone() -> None:
    """Below fifty the gain is uncertain: the confidence of other rows counts for nothing."""
    answered, _ = told(np.random.default_rng(4), rows=3000, labels=40, right=1.0)
    powered = answered.prediction_powered
    assert powered is not None
    assert powered.share == 0
    assert powered.value == pytest.approx(answered.figures["accuracy"].value, rel=1e-12)


def test_chosen_labels_are_weighed_back_to_the_stream() -> None:
    """Where labels come for one class more often, the strata of the stream correct for it."""

    def of_class_one(correct: Any, said: Any) -> Any:
        # All of class 1, and a twentieth of class 0, which is right more often here.
        correct[said == 0] = True
        return np.flatnonzero((said == 1) | (np.arange(len(said)) % 20 == 0))

    random = np.random.default_rng(5)
    live_truth = []

    def drawn(correct: Any, said: Any) -> Any:
        chosen = of_class_one(correct, said)
        live_truth.append(correct.mean())
        return chosen

    answered, _ = told(random, rows=20_000, labels=0, right=1.0, drawn=drawn)
    estimate = answered.post_stratified
    assert estimate is not None
    assert abs(answered.figures["accuracy"].value - live_truth[0]) > 0.08
    assert estimate.lower <= live_truth[0] <= estimate.upper
    share = {one.of: one.share for one in answered.coverage_by_class}
    assert share["1"] == 1.0
    assert share["0"] == pytest.approx(0.05, abs=0.01)


def test_earlier_labels_calibrate_what_is_promised() -> None:
    """A model that is always too sure is taken at its word only until labels have shown it."""
    random = np.random.default_rng(6)
    clock = Clock(NOON + 2 * HOUR)
    live = LiveFigures({"m": digits(2)}, clock=clock)
    live.begin(None)
    for time in (NOON - 5 * HOUR, clock.now - 60):
        n = 4000
        stated = 0.5 + random.random(n) / 2
        said = np.ones(n, dtype=np.int64)
        true = (random.random(n) < stated - 0.2).astype(np.int64)
        columns: dict[str, Any] = {
            "scores": parts(np.column_stack((1 - stated, stated))), "times": np.full(n, time)
        }  # fmt: skip
        live.predicted(samples(said, **columns))
        live.joined(joined(true, said, **columns))
    guess = answer(live, "m", Query(window="1h")).without_labels
    assert guess is not None
    assert guess.learned_from == 4000
    assert guess.value == pytest.approx(0.55, abs=0.03)
    assert guess.promised == pytest.approx(guess.came_true, abs=0.03)
