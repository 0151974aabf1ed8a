# SPDX-License-Identifier: Apache-2.0
"""The figures are scikit-learn's, and the intervals those of the literature."""

import warnings
from math import isnan, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from gateway.lab.metrics import (
    Average,
    accuracy,
    average_scores,
    class_scores,
    confusion_matrix,
    f1_interval,
    seen_classes,
    wilson,
)

Rows = list[tuple[int, int]]
ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60)
ZERO = st.sampled_from([0.0, 1.0, nan])


def columns(rows: Rows) -> tuple[Any, Any]:
    """True and predicted classes as arrays."""
    truth, predicted = np.asarray(rows, dtype=np.int64).T
    return truth, predicted


def expected(rows: Rows, labels: Any, zero_division: float, average: str | None) -> list[Any]:
    """Precision, recall and F1 as scikit-learn computes them."""
    with warnings.catch_warnings():
        # Where all classes are left out, it warns of the mean of nothing.
        warnings.simplefilter("ignore")
        result = oracle.precision_recall_fscore_support(
            *columns(rows), labels=labels, average=average, zero_division=zero_division
        )
    return list(result[:3])


def close(actual: Any, wanted: Any) -> None:
    """Equal to 1e-12, nan to nan."""
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-12)


@given(ROWS)
def test_the_confusion_matrix_is_that_of_scikit_learn(rows: Rows) -> None:
    """Rows are true classes, columns predicted ones, in ascending order."""
    truth, predicted = columns(rows)

    classes = seen_classes(truth, predicted)
    matrix = confusion_matrix(truth, predicted, classes)

    with warnings.catch_warnings():
        # It warns of a matrix of one class.
        warnings.simplefilter("ignore")
        theirs = oracle.confusion_matrix(truth, predicted)
    assert matrix.tolist() == theirs.tolist()
    close(accuracy(matrix), oracle.accuracy_score(truth, predicted))


@pytest.mark.parametrize("labels", [None, list(range(8))], ids=["seen", "given"])
@given(rows=ROWS, zero_division=ZERO)
def test_class_scores_are_those_of_scikit_learn(
    labels: list[int] | None, rows: Rows, zero_division: float
) -> None:
    """Also for classes that were never predicted, never true, or neither."""
    truth, predicted = columns(rows)
    classes = seen_classes(truth, predicted) if labels is None else np.asarray(labels)

    scores = class_scores(confusion_matrix(truth, predicted, classes), zero_division=zero_division)

    wanted = expected(rows, labels, zero_division, None)
    for actual, theirs in zip((scores.precision, scores.recall, scores.f1), wanted, strict=True):
        close(actual, theirs)


@pytest.mark.parametrize("labels", [None, list(range(8))], ids=["seen", "given"])
@pytest.mark.parametrize("how", ["macro", "micro", "weighted"])
@given(rows=ROWS, zero_division=ZERO)
def test_averages_are_those_of_scikit_learn(
    labels: list[int] | None, how: Average, rows: Rows, zero_division: float
) -> None:
    """Classes left out by a nan are left out of the mean."""
    truth, predicted = columns(rows)
    classes = seen_classes(truth, predicted) if labels is None else np.asarray(labels)

    scores = average_scores(
        confusion_matrix(truth, predicted, classes), how, zero_division=zero_division
    )

    wanted = expected(rows, labels, zero_division, how)
    for actual, theirs in zip((scores.precision, scores.recall, scores.f1), wanted, strict=True):
        close(float(actual), theirs)


def test_classes_may_be_names() -> None:
    """Text sorts and counts as numbers do."""
    truth = np.asarray(["cat", "dog", "dog", "owl"])
    predicted = np.asarray(["dog", "dog", "dog", "cat"])
    classes = seen_classes(truth, predicted)

    matrix = confusion_matrix(truth, predicted, classes)

    assert classes.tolist() == ["cat", "dog", "owl"]
    assert matrix.tolist() == oracle.confusion_matrix(truth, predicted).tolist()


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([0, 9], [0, 0], "true class 9 is not one of the 3 classes"),
        ([0, 0], [-1, 0], "predicted class -1 is not one of the 3 classes"),
        ([0, 0], [0], "2 true labels but 1 predictions"),
    ],
)
def test_a_class_outside_the_given_ones_is_refused(
    truth: list[int], predicted: list[int], message: str
) -> None:
    """A row that fits nowhere must not vanish from the figures."""
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.asarray(truth), np.asarray(predicted), np.arange(3))


def test_an_empty_matrix_has_no_accuracy() -> None:
    """Nothing measured is not zero."""
    assert isnan(accuracy(np.zeros((3, 3), dtype=np.int64)))


@pytest.mark.parametrize(
    ("share", "n", "lower", "upper"),
    [(0.95, 100, 0.888, 0.978), (0.95, 1000, 0.935, 0.962), (1.0, 20, 0.839, 1.0)],
)
def test_wilson_gives_the_published_intervals(
    share: float, n: int, lower: float, upper: float
) -> None:
    """Known values at level 0.95, to their printed digits."""
    interval = wilson(share * n, n)

    assert (round(interval.lower, 3), round(interval.upper, 3)) == (lower, upper)


@given(st.integers(0, 500), st.integers(0, 500), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_an_interval_holds_its_own_share(successes: int, failures: int, level: float) -> None:
    """Within [0, 1], around the share, and wider at a higher level."""
    n = successes + failures
    interval = wilson(successes, n, level=level)
    wider = wilson(successes, n, level=0.9999)

    assert 0 <= interval.lower <= interval.upper <= 1
    if n:
        assert interval.lower <= successes / n <= interval.upper
        assert wider.lower <= interval.lower
        assert wider.upper >= interval.upper


def test_nothing_observed_says_nothing() -> None:
    """Without a row any share is possible."""
    assert wilson(0, 0).lower == 0.0
    assert wilson(0, 0).upper == 1.0


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_the_interval_of_f1_holds_f1(right: int, wrong: int, missed: int) -> None:
    """It follows from the interval of Jaccard's index, which F1 grows with."""
    interval = f1_interval(right, right + wrong, right + missed)

    assert 0 <= interval.lower <= interval.upper <= 1
    if right + wrong + missed:
        f1 = 2 * right / (2 * right + wrong + missed)
        assert interval.lower - 1e-12 <= f1 <= interval.upper + 1e-12
