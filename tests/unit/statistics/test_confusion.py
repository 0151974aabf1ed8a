# SPDX-License-Identifier: Apache-2.0
"""Which classes there are, and what a class that nobody listed does."""

from __future__ import annotations

import numpy as np

from gateway.statistics.classification import (
    Outcomes,
    average_scores,
    best_constant,
    class_scores,
    specificity,
)
from gateway.statistics.confusion import ConfusionMatrix, Matrix


def test_a_strange_prediction_leaves_the_macro_average_of_listed_classes() -> None:
    """Listed classes decide what is averaged; without a list one event moves it."""
    true, said = np.asarray([0, 0, 1, 1]), np.asarray([0, 0, 1, 1])
    listed, seen = ConfusionMatrix([0, 1]), ConfusionMatrix()
    for state in (listed, seen):
        state.add(true, said)
        state.add(np.asarray([0]), np.asarray([9]))

    macro = [
        float(average_scores(Outcomes.of(state.matrix()), "macro").precision)
        for state in (listed, seen)
    ]
    assert macro == [1.0, 2 / 3]
    assert listed.matrix().classes.tolist() == [0, 1, 9]
    assert listed.matrix().listed == 2


def test_classes_keep_the_listed_order_and_strangers_are_sorted() -> None:
    """Rows are by true class, columns by predicted class."""
    state = ConfusionMatrix(["dog", "cat"])
    state.add(np.asarray(["cat", "cat", "emu"]), np.asarray(["cat", "zebu", "dog"]))
    matrix = state.matrix()

    assert matrix.classes.tolist() == ["dog", "cat", "emu", "zebu"]
    assert matrix.counts.tolist() == [[0, 0, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_an_empty_matrix_is_no_error() -> None:
    """Before the first label there is nothing, and it says so."""
    matrix = ConfusionMatrix().matrix()

    assert matrix.rows == 0
    assert best_constant(matrix)[0] is None


def test_specificity_is_what_is_left_alone() -> None:
    """Of 7 rows of other classes, 2 were taken for the first."""
    counts = Outcomes.of(Matrix.of(np.asarray([[3, 0], [2, 5]])))

    assert specificity(counts).tolist() == [5 / 7, 1.0]


def test_the_best_constant_is_the_largest_class() -> None:
    """What a model has to beat."""
    best, share = best_constant(Matrix.of(np.asarray([[1, 1], [4, 4]]), np.asarray(["no", "yes"])))

    assert (best, share) == ("yes", 0.8)


def test_ends_of_beta_are_precision_and_recall() -> None:
    """F-beta goes from one to the other."""
    counts = Outcomes.of(Matrix.of(np.asarray([[3, 1], [2, 5]])))
    scores = class_scores(counts, beta=0.0)

    assert scores.f.tolist() == scores.precision.tolist()
    assert class_scores(counts, beta=float("inf")).f.tolist() == scores.recall.tolist()
