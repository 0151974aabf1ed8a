# SPDX-License-Identifier: Apache-2.0
"""A figure with its interval, and the sentence about it."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.statistics.classifier import Classifier
from gateway.statistics.estimate import Estimate, accuracy_sentence
from gateway.statistics.figures import multilabel_figures, regression_figures
from gateway.statistics.intervals import Interval
from gateway.statistics.multilabel import Multilabel
from gateway.statistics.regression import Regression


def share(right: int, n: int) -> Estimate:
    """An accuracy."""
    return Estimate.share(right / n if n else float("nan"), n, n, level=0.95, always=True)


@pytest.mark.parametrize(
    ("estimate", "constant", "words"),
    [
        (share(950, 1000), 0.6, "Of 1000 labelled rows 95.00% are right"),
        (share(950, 1000), 0.6, "confidence the true share is between 93.47% and 96.19%."),
        (share(950, 1000), 0.6, "Always saying 'no' would be right on 60.00%"),
        (share(950, 1000), 0.6, "the model is right more often than that"),
        (share(500, 1000), 0.9, "the model is right less often than that"),
        (share(950, 1000), 0.95, "within what these rows leave open"),
        (share(9, 10), 0.5, "too few rows for a verdict"),
        (share(0, 0), 0.5, "No row has a label yet"),
    ],
)
def test_the_sentence_says_what_the_figure_means(
    estimate: Estimate, constant: float, words: str
) -> None:
    """Rows, interval, and what saying one class would give."""
    text = accuracy_sentence(estimate, level=0.95, constant="no", constant_accuracy=constant)

    assert words in text


def test_an_estimate_shows_its_interval_where_it_has_one() -> None:
    """And the interval for all looks is the wider one."""
    known = share(90, 100)
    assert known.always is not None
    assert known.always[0] < known.lower < known.value < known.upper < known.always[1]
    assert str(known) == "0.9000 [0.8256, 0.9448]"
    unknown = Estimate.of(0.5, Interval(float("nan"), float("nan")), 9, method="none")
    assert str(unknown) == "0.5000"


def test_a_classifier_has_every_figure() -> None:
    """With scores: areas, losses, top-k; each within its interval."""
    random = np.random.default_rng(1)
    scores = random.dirichlet(np.full(4, 0.3), 500)
    true = (scores.cumsum(axis=1) < random.random((500, 1))).sum(axis=1)
    state = Classifier([0, 1, 2, 3], scores=True)
    state.add(true, scores.argmax(axis=1), scores)
    figures = state.figures(np.random.default_rng(1))

    assert {"accuracy", "balanced_accuracy", "matthews", "kappa", "macro_f1", "weighted_recall",
            "micro_precision", "top_2_accuracy", "top_3_accuracy", "roc_auc", "average_precision",
            "brier", "log_loss", "ece"} == set(figures) - {
        f"{how}_{part}" for how in ("macro", "micro", "weighted")
        for part in ("precision", "recall", "f1")
    } | {"macro_f1", "weighted_recall", "micro_precision"}  # fmt: skip
    for name, one in figures.items():
        assert one.n == 500
        assert np.isnan(one.lower) or one.lower <= one.value <= one.upper, name


def test_two_classes_have_one_curve() -> None:
    """That of the second; a row of a class that is not configured counts as wrong."""
    state = Classifier(["no", "yes"], scores=True)
    scores = np.asarray([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    state.add(
        np.asarray(["no", "yes", "yes", "??"]), np.asarray(["no", "yes", "no", "yes"]), scores
    )
    figures = state.figures(np.random.default_rng(1))

    assert figures["accuracy"].value == 0.5
    assert figures["roc_auc"].value == 1.0


def test_multilabel_and_regression_have_theirs() -> None:
    """Every one with its rows."""
    random = np.random.default_rng(1)
    true = random.random((200, 3)) < 0.4
    labels = Multilabel(labels=3)
    labels.add(true, true ^ (random.random((200, 3)) < 0.1))
    numbers = Regression()
    y = random.normal(10, 3, 500)
    numbers.add(y, y + random.normal(0.5, 1, 500))

    found = multilabel_figures(labels)
    assert {"subset_accuracy", "hamming_loss", "samples_f1", "macro_recall"} <= set(found)
    found = regression_figures(numbers)
    assert {"mae", "rmse", "bias", "r2", "error_p50", "error_p99", "wape"} <= set(found)
    assert 0.5 in Interval(found["bias"].lower, found["bias"].upper)
    assert 1 - 1.25 / 9 in Interval(found["r2"].lower, found["r2"].upper)


def test_intervals_of_regression_cover() -> None:
    """600 sets of 200 rows: bias 0.5, RMSE sqrt(1.25), R2 1 - 1.25 / 9."""
    random = np.random.default_rng(5)
    real = {"mae": 0.8954, "rmse": 1.25**0.5, "bias": 0.5, "r2": 1 - 1.25 / 9}
    covered = dict.fromkeys(real, 0)
    for _ in range(600):
        y = random.normal(0, 3, 200)
        state = Regression()
        state.add(y, y + random.normal(0.5, 1, 200))
        for name, estimate in regression_figures(state).items():
            if name in real:
                covered[name] += estimate.lower <= real[name] <= estimate.upper

    assert all(0.92 <= count / 600 <= 0.975 for count in covered.values()), covered
