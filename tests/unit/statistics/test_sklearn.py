# SPDX-License-Identifier: Apache-2.0
"""Every metric that scikit-learn has is scikit-learn's, on whatever rows hypothesis finds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from gateway.statistics.classification import (
    Average,
    Outcomes,
    accuracy,
    average_scores,
    balanced_accuracy,
    class_scores,
    kappa,
    matthews,
)
from gateway.statistics.confusion import ConfusionMatrix
from gateway.statistics.multilabel import Multilabel
from gateway.statistics.probability import Losses
from gateway.statistics.ranking import Ranks, average_precision, roc_auc
from gateway.statistics.regression import Regression

EXACT = 1e-12


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What scikit-learn warns of is what is compared here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def close(actual: Any, expected: Any) -> None:
    """Equal to rounding, nan with nan."""
    np.testing.assert_allclose(actual, expected, rtol=EXACT, atol=EXACT)


@st.composite
def rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, list[int] | None]:
    """True and predicted classes, weights or none, and a configured list of classes or none."""
    n = draw(st.integers(1, 40))
    size = draw(st.integers(1, 6))
    column = st.lists(st.integers(0, size - 1), min_size=n, max_size=n)
    true, predicted = np.asarray(draw(column)), np.asarray(draw(column))
    # scikit-learn refuses weights that are all 0.
    weighed = st.lists(st.floats(0, 10).map(lambda w: round(w, 3)), min_size=n, max_size=n)
    weights = draw(st.none() | weighed.filter(lambda w: sum(w) > 0).map(np.asarray))
    extra = size + draw(st.integers(0, 2))
    listed = st.lists(st.integers(0, extra - 1), min_size=1, max_size=extra, unique=True)
    # ... and a list of classes of which none is true.
    met = set(true.tolist())
    labels = draw(st.none() | listed.filter(lambda each: bool(met & set(each))))
    return true, predicted, weights, labels


@given(rows(), st.sampled_from([0.0, 1.0, float("nan")]), st.sampled_from([0.5, 1.0, 2.0]))
@settings(max_examples=150, deadline=None)
def test_averages_are_those_of_scikit_learn(
    case: tuple[np.ndarray, np.ndarray, np.ndarray | None, list[int] | None],
    zero_division: float,
    beta: float,
) -> None:
    """All averages, zero_division, weights, unseen, unlisted and empty classes."""
    true, predicted, weights, labels = case
    state = ConfusionMatrix(labels)
    state.add(true, predicted, weights)
    counts = Outcomes.of(state.matrix())
    options = {"labels": labels, "sample_weight": weights, "zero_division": zero_division}

    each = class_scores(counts, beta=beta, zero_division=zero_division)
    wanted = sk.precision_recall_fscore_support(true, predicted, beta=beta, average=None, **options)
    for actual, expected in zip((each.precision, each.recall, each.f), wanted[:3], strict=True):
        close(actual, expected)
    averages: list[Average] = ["macro", "micro", "weighted"]
    for how in averages:
        mean = average_scores(counts, how, beta=beta, zero_division=zero_division)
        wanted = sk.precision_recall_fscore_support(
            true, predicted, beta=beta, average=how, **options
        )
        for actual, expected in zip((mean.precision, mean.recall, mean.f), wanted[:3], strict=True):
            close(actual, expected)


@given(rows())
@settings(max_examples=150, deadline=None)
def test_figures_of_the_whole_matrix_are_those_of_scikit_learn(
    case: tuple[np.ndarray, np.ndarray, np.ndarray | None, list[int] | None],
) -> None:
    """Accuracy, balanced accuracy, Matthews and kappa, whatever classes are listed."""
    true, predicted, weights, labels = case
    state = ConfusionMatrix(labels)
    state.add(true, predicted, weights)
    matrix = state.matrix()

    close(accuracy(matrix), sk.accuracy_score(true, predicted, sample_weight=weights))
    close(
        balanced_accuracy(matrix),
        sk.balanced_accuracy_score(true, predicted, sample_weight=weights),
    )
    np.testing.assert_allclose(
        matthews(matrix), sk.matthews_corrcoef(true, predicted, sample_weight=weights), atol=1e-7
    )
    close(kappa(matrix), sk.cohen_kappa_score(true, predicted, sample_weight=weights))


@given(st.data(), st.sampled_from([0.0, 1.0, float("nan")]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_multilabel_is_that_of_scikit_learn(
    data: st.DataObject,
    zero_division: float,
    weighted: bool,  # noqa: FBT001 - a case
) -> None:
    """The average over samples too, in which a row may have no label at all."""
    n, labels = data.draw(st.integers(1, 20)), data.draw(st.integers(2, 5))
    table = st.lists(
        st.lists(st.integers(0, 1), min_size=labels, max_size=labels), min_size=n, max_size=n
    ).map(np.asarray)
    true, predicted = data.draw(table), data.draw(table)
    weights = np.linspace(0.5, 2, n) if weighted else None
    state = Multilabel(labels=labels, beta=2.0)
    state.add(true, predicted, weights)

    close(state.subset_accuracy(), sk.accuracy_score(true, predicted, sample_weight=weights))
    close(state.hamming_loss(), sk.hamming_loss(true, predicted, sample_weight=weights))
    options = {"sample_weight": weights, "zero_division": zero_division, "beta": 2.0}
    mean = state.samples(zero_division=zero_division)
    wanted = sk.precision_recall_fscore_support(true, predicted, average="samples", **options)
    for actual, expected in zip((mean.precision, mean.recall, mean.f), wanted[:3], strict=True):
        close(actual, expected)
    macro = average_scores(state.outcomes(), "macro", beta=2.0, zero_division=zero_division)
    wanted = sk.precision_recall_fscore_support(true, predicted, average="macro", **options)
    for actual, expected in zip((macro.precision, macro.recall, macro.f), wanted[:3], strict=True):
        close(actual, expected)


@given(st.data(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_areas_are_those_of_scikit_learn(data: st.DataObject, weighted: bool) -> None:  # noqa: FBT001 - a case
    """With ties among scores, and with weights."""
    n = data.draw(st.integers(2, 40))
    truth = np.asarray(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    if truth.all() or not truth.any():
        truth[0] = not truth[0]
    # Few distinct values: ties are the hard part.
    scores = np.asarray(data.draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))) / 8
    weights = np.linspace(0.25, 3, n) if weighted else None

    close(roc_auc(truth, scores, weights), sk.roc_auc_score(truth, scores, sample_weight=weights))
    close(
        average_precision(truth, scores, weights),
        sk.average_precision_score(truth, scores, sample_weight=weights),
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_losses_and_top_k_are_those_of_scikit_learn(classes: int, weighted: bool) -> None:  # noqa: FBT001 - a case
    """Log loss with its clipping, Brier score of two classes and of more, ties in top-k."""
    random = np.random.default_rng(classes)
    scores = random.dirichlet(np.full(classes, 0.2), size=300).round(2)
    scores /= scores.sum(axis=1, keepdims=True)
    true = random.integers(0, classes, 300)
    weights = random.random(300) if weighted else None
    labels = list(range(classes))
    losses, ranks = Losses(half=classes == 2), Ranks()
    losses.add(true, scores, weights)
    ranks.add(true, scores, weights)

    close(losses.log_loss()[0], sk.log_loss(true, scores, sample_weight=weights, labels=labels))
    wanted = sk.brier_score_loss(
        true, scores[:, 1] if classes == 2 else scores, sample_weight=weights, labels=labels
    )
    close(losses.brier()[0], wanted)
    for k in range(1, classes):
        if classes > 2:
            expected = sk.top_k_accuracy_score(
                true, scores, k=k, sample_weight=weights, labels=labels
            )
            close(ranks.top(k), expected)


@given(
    st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2, max_size=40),
    st.booleans(),
    st.sampled_from([0.0, 1e6]),
)
@settings(max_examples=100, deadline=None)
def test_regression_is_that_of_scikit_learn(
    pairs: list[tuple[float, float]],
    weighted: bool,  # noqa: FBT001 - a case
    far: float,
) -> None:
    """In parts that are merged, also far from 0, where naive sums of squares lose all digits."""
    array = np.asarray(pairs).round(3) + far
    true, predicted = array.T
    weights = np.linspace(0.5, 2, len(true)) if weighted else None
    half = len(true) // 2
    state, other = Regression(), Regression()
    state.add(true[:half], predicted[:half], None if weights is None else weights[:half])
    other.add(true[half:], predicted[half:], None if weights is None else weights[half:])
    state.merge(other)

    def near(actual: float, expected: float, slack: float = 1e-9) -> None:
        np.testing.assert_allclose(actual, expected, rtol=slack, atol=slack)

    near(state.mae()[0], sk.mean_absolute_error(true, predicted, sample_weight=weights))
    near(state.rmse()[0], sk.root_mean_squared_error(true, predicted, sample_weight=weights))
    if np.ptp(true) > 1:
        near(state.r2()[0], sk.r2_score(true, predicted, sample_weight=weights), slack=1e-6)
        near(
            state.explained_variance(),
            sk.explained_variance_score(true, predicted, sample_weight=weights),
            slack=1e-6,
        )
