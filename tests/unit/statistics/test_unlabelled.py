# SPDX-License-Identifier: Apache-2.0
"""Estimates without labels and with few: when they are right, and when they cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from gateway.statistics.classification import class_scores
from gateway.statistics.prediction_powered import PredictionPowered
from gateway.statistics.unlabelled import (
    ASSUMES,
    ExpectedQuality,
    Isotonic,
    calibrated,
    expected_ranking,
)


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Calibrated probabilities [n, 3], predicted classes and true classes drawn from them."""
    random = np.random.default_rng(seed)
    scores = random.dirichlet(np.full(3, 0.4), n)
    true = (scores.cumsum(axis=1) < random.random((n, 1))).sum(axis=1)
    return scores, scores.argmax(axis=1), true


def test_calibrated_probabilities_know_their_accuracy() -> None:
    """400 chunks: the interval holds the accuracy that labels show later."""
    covered = 0
    for seed in range(400):
        scores, said, true = rows(300, seed)
        state = ExpectedQuality(classes=3)
        state.add(said, scores)
        covered += (said == true).mean() in state.accuracy().interval

    assert 0.92 <= covered / 400 <= 0.98


def test_expected_counts_are_those_of_labels() -> None:
    """Of 200,000 rows precision and recall of each class agree to three digits."""
    scores, said, true = rows(200_000, 1)
    state = ExpectedQuality(classes=3)
    state.add(said, scores)
    expected = class_scores(state.outcomes())

    for place in range(3):
        assert expected.precision[place] == pytest.approx(
            (true[said == place] == place).mean(), abs=0.005
        )
        assert expected.recall[place] == pytest.approx(
            (said[true == place] == place).mean(), abs=0.005
        )
    area, _ = expected_ranking(scores[:, 0])
    ones, zeros = scores[true == 0, 0], scores[true != 0, 0]
    draw = np.random.default_rng(1)
    pairs = draw.choice(ones, 200_000) > draw.choice(zeros, 200_000)
    assert area == pytest.approx(pairs.mean(), abs=0.005)


def test_a_broken_model_looks_excellent_and_the_words_say_so() -> None:
    """Labels that are all wrong change nothing of an estimate without labels."""
    state = ExpectedQuality(classes=2)
    scores = np.tile([[0.01, 0.99]], (100, 1))
    state.add(np.ones(100, int), scores)

    assert state.accuracy().value == pytest.approx(0.99)
    assert state.accuracy().assumes == ASSUMES
    assert "cannot see a broken model" in ASSUMES
    assert np.isnan(ExpectedQuality(classes=2).accuracy().value)


def test_isotonic_is_that_of_scikit_learn() -> None:
    """Between the scores seen, too."""
    random = np.random.default_rng(1)
    scores = random.random(400).round(2)
    came = random.random(400) < scores**2
    wanted = IsotonicRegression(out_of_bounds="clip").fit(scores, came)
    at = np.linspace(0, 1, 333)

    np.testing.assert_allclose(Isotonic.fit(scores, came)(at), wanted.predict(at), atol=1e-12)
    with pytest.raises(ValueError, match="no rows"):
        Isotonic.fit(np.empty(0), np.empty(0))


def test_calibrated_rows_add_up_to_one() -> None:
    """Also where every column says 0."""
    nothing = Isotonic(np.asarray([0.0, 1.0]), np.asarray([0.0, 0.0]))
    growing = Isotonic(np.asarray([0.0, 1.0]), np.asarray([0.0, 1.0]))
    scores = np.asarray([[0.2, 0.8], [0.0, 1.0]])

    assert calibrated([growing, growing], scores).tolist() == scores.tolist()
    assert calibrated([nothing, nothing], scores).tolist() == [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize("honest", [True, False])
def test_few_labels_with_estimates_cover_even_where_the_estimates_lie(honest: bool) -> None:  # noqa: FBT001 - a case
    """500 streams of 2,000 rows, 150 labelled; after drift the confidence says too much."""
    random = np.random.default_rng(3)
    covered, widths, plain = 0, [], []
    for _ in range(500):
        stated = random.beta(4, 1, 2000)
        real = stated if honest else stated * 0.7
        right = random.random(2000) < real
        state, alone = PredictionPowered(), PredictionPowered()
        state.add_labelled(right[:150], stated[:150])
        alone.add_labelled(right[:150], stated[:150])
        state.add_others(stated[150:])
        _, interval, _ = state.mean()
        covered += (0.8 if honest else 0.56) in interval
        widths.append(interval.upper - interval.lower)
        without = alone.mean()[1]
        plain.append(without.upper - without.lower)

    assert 0.92 <= covered / 500 <= 0.98
    assert np.mean(widths) < np.mean(plain) * (0.95 if honest else 1.01)


def test_very_few_labels_stand_alone() -> None:
    """Below 50 the gain is not certain; with none nothing is known."""
    state = PredictionPowered()
    state.add_others(np.full(1000, 0.9))
    assert state.mean()[1].lower == 0
    state.add_labelled(np.ones(20), np.full(20, 0.9))
    mean, interval, share = state.mean()

    assert (mean, share) == (1.0, 0.0)
    assert round(interval.lower, 3) == 0.839
