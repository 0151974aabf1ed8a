# SPDX-License-Identifier: Apache-2.0
"""Live figures are those that scikit-learn computes from the joined rows."""

from __future__ import annotations

import warnings
from math import isnan, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from gateway.quality.figures.live import LiveFigures
from gateway.quality.figures.query import Query
from gateway.quality.figures.read import answer
from gateway.quality.figures.spec import Spec
from gateway.wire.samples import FULL
from tests.support.labelled_rows import NOON, Clock, digits, joined, parts

CLASSES = 4
PARTS = ("precision", "recall", "f1")


def live_of(specs: dict[str, Spec]) -> LiveFigures:
    """Live figures that have begun."""
    live = LiveFigures(specs, clock=Clock())
    live.begin(None)
    return live


def rows_of(data: st.DataObject, classes: int) -> dict[str, Any]:
    """Rows as a stream gives them: some labels corrected, some taken back, in any order."""
    seed = data.draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    n = data.draw(st.integers(1, 60))
    true, predicted = random.integers(0, classes, n), random.integers(-1, classes, n)
    weight = random.choice([0.5, 1.0, 2.0], n) if data.draw(st.booleans()) else np.ones(n)
    return {
        "random": random, "true": true, "predicted": predicted, "weight": weight,
        "times": NOON - random.random(n) * data.draw(st.sampled_from([30.0, 3000.0, 2e5])),
        "corrected": random.random(n) < 0.3, "gone": random.random(n) < 0.2,
    }  # fmt: skip


def fed(rows: dict[str, Any], spec: Spec) -> tuple[LiveFigures, np.ndarray[Any, Any]]:
    """Live figures after all events of *rows*, and which rows have a label in the end."""
    random, n = rows["random"], len(rows["true"])
    live = live_of({"m": spec})
    wrong = random.integers(0, CLASSES, n)
    events = []
    for place in range(n):
        first = wrong[place] if rows["corrected"][place] else rows["true"][place]
        events.append((place, first, 1))
    random.shuffle(events)
    for place in random.permutation(n):
        if rows["corrected"][place]:
            events += [(place, wrong[place], -1), (place, rows["true"][place], 1)]
        if rows["gone"][place]:
            events.append((place, rows["true"][place], -1))
    for stretch in np.array_split(np.arange(len(events)), random.integers(1, 5)):
        some = [events[each] for each in stretch]
        which = np.asarray([place for place, _, _ in some], dtype=np.int64)
        if some:
            live.joined(
                joined(
                    np.asarray([true for _, true, _ in some]),
                    rows["predicted"][which],
                    key=which,
                    times=rows["times"][which],
                    weight=rows["weight"][which],
                    sign=np.asarray([sign for _, _, sign in some], dtype=np.int8),
                )
            )
    return live, ~rows["gone"]


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    average=st.sampled_from(["macro", "micro", "weighted"]),
    zero_division=st.sampled_from([0.0, 1.0, nan]),
    beta=st.sampled_from([0.5, 2.0]),
)
def test_classes_are_scored_as_in_scikit_learn(
    data: st.DataObject, average: str, zero_division: float, beta: float
) -> None:
    """All averages, weights and zero divisions, after corrections, over the configured classes."""
    rows = rows_of(data, CLASSES)
    live, left = fed(rows, digits(CLASSES))
    query = Query(window="30d", average=average, zero_division=zero_division, beta=beta)
    told = answer(live, "m", query)
    true, said, weight = (rows[name][left] for name in ("true", "predicted", "weight"))
    assert told.rows.labelled == len(true)
    if not len(true):
        assert isnan(told.figures["accuracy"].value)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = metrics.precision_recall_fscore_support(
            true, said, labels=range(CLASSES), average=average, sample_weight=weight,
            zero_division=zero_division,
        )  # fmt: skip
        f_beta = metrics.fbeta_score(
            true, said, beta=beta, labels=range(CLASSES), average=average, sample_weight=weight,
            zero_division=zero_division,
        )  # fmt: skip
        assert told.figures["f_beta"].value == pytest.approx(f_beta, abs=1e-12, nan_ok=True)
        assert told.figures["matthews"].value == pytest.approx(
            metrics.matthews_corrcoef(true, said, sample_weight=weight), abs=1e-12
        )
        balanced = metrics.balanced_accuracy_score(true, said, sample_weight=weight)
        assert told.figures["balanced_accuracy"].value == pytest.approx(balanced, abs=1e-12)
    accuracy = metrics.accuracy_score(true, said, sample_weight=weight)
    assert told.figures["accuracy"].value == pytest.approx(accuracy, abs=1e-12)
    for part, value in zip(PARTS, expected, strict=False):
        assert told.figures[part].value == pytest.approx(value, abs=1e-12, nan_ok=True)
    matrix = metrics.confusion_matrix(true, said, labels=range(CLASSES))
    assert told.confusion is not None
    cells = {(t, p): n for t, p, n, _ in told.confusion.cells if p < CLASSES}
    assert cells == {(t, p): n for (t, p), n in np.ndenumerate(matrix) if n}


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_the_last_rows_are_those_predicted_last(data: st.DataObject) -> None:
    """The window n:K holds exactly the K labelled rows that were predicted last."""
    rows = rows_of(data, CLASSES)
    live, left = fed(rows, digits(CLASSES))
    count = data.draw(st.integers(1, 20))
    told = answer(live, "m", Query(window=f"n:{count}"))
    true, said, weight = (rows[name][left] for name in ("true", "predicted", "weight"))
    last = np.argsort(rows["times"][left])[-count:]
    assert told.rows.labelled == len(last)
    if len(last):
        accuracy = metrics.accuracy_score(true[last], said[last], sample_weight=weight[last])
        assert told.figures["accuracy"].value == pytest.approx(accuracy, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 5])
def test_scores_are_scored_as_in_scikit_learn(classes: int) -> None:
    """Top-k, losses and calibration are exact, and areas within the bound that stands with them."""
    random = np.random.default_rng(classes)
    n = 3000
    true = random.integers(0, classes, n)
    raw = random.dirichlet(np.full(classes, 0.5), n)
    raw[np.arange(n), true] += random.random(n) * 0.4
    scores = parts(raw / raw.sum(axis=1, keepdims=True))
    live = live_of({"m": digits(classes)})
    live.joined(joined(true, scores.argmax(axis=1), scores=scores))
    figures = answer(live, "m", Query()).figures
    stated = scores / FULL
    # scikit-learn wants rows that add up to 1; parts of 65,535 do within a few of them.
    even = np.maximum(stated, 0.5 / FULL)
    even /= even.sum(axis=1, keepdims=True)
    log = metrics.log_loss(true, even, labels=range(classes))
    assert figures["log_loss"].value == pytest.approx(log, abs=2e-4)
    one = np.eye(classes)[true]
    brier = ((stated - one) ** 2).sum(axis=1).mean() / (2 if classes == 2 else 1)
    assert figures["brier"].value == pytest.approx(brier, abs=1e-12)
    if classes == 2:
        area = metrics.roc_auc_score(true, stated[:, 1])
        precision = metrics.average_precision_score(true, stated[:, 1])
    else:
        area = metrics.roc_auc_score(one, stated, average="macro")
        precision = metrics.average_precision_score(one, stated, average="macro")
        top = metrics.top_k_accuracy_score(true, stated, k=2)
        assert figures["top_2_accuracy"].value == pytest.approx(top, abs=1e-12)
    assert figures["roc_auc"].value == pytest.approx(area, abs=2e-3)
    assert figures["roc_auc"].lower <= area <= figures["roc_auc"].upper
    assert figures["average_precision"].lower <= precision <= figures["average_precision"].upper


def test_sets_of_labels_are_scored_as_in_scikit_learn() -> None:
    """Subset accuracy, Hamming loss and all averages of a multilabel model."""
    random = np.random.default_rng(3)
    truth, said = random.random((2, 400, 5)) < 0.4
    powers = 2 ** np.arange(5, dtype=np.uint64)
    spec = Spec(task="multilabel", classes=tuple("abcde"))
    live = live_of({"m": spec})
    live.joined(joined(truth @ powers, said @ powers))
    for average in ("macro", "micro", "weighted", "samples"):
        told = answer(live, "m", Query(average=average))
        expected = metrics.precision_recall_fscore_support(
            truth, said, average=average, zero_division=0.0
        )
        assert [told.figures[part].value for part in PARTS] == pytest.approx(expected[:3])
    told = answer(live, "m", Query())
    assert told.figures["subset_accuracy"].value == pytest.approx(
        metrics.accuracy_score(truth, said)
    )
    assert told.figures["hamming_loss"].value == pytest.approx(metrics.hamming_loss(truth, said))


@pytest.mark.parametrize("centre", [0.0, 1e6])
def test_numbers_are_scored_as_in_scikit_learn(centre: float) -> None:
    """Errors of a regression, also where values are large, after some labels were taken back."""
    random = np.random.default_rng(4)
    true = centre + random.normal(0, 3, 500)
    said = true + random.normal(0.2, 1, 500)
    live = live_of({"m": Spec(task="regression")})
    live.joined(joined(true, said, times=NOON - random.random(500) * 5000))
    live.settle()
    live.joined(
        joined(true[:100], said[:100], sign=np.full(100, -1), times=np.full(100, NOON - 5e6))
    )
    live.settle()
    # Rows that are too old to be in any bucket are not taken away either.
    figures = answer(live, "m", Query(window="30d")).figures
    assert figures["mae"].value == pytest.approx(metrics.mean_absolute_error(true, said))
    rmse = metrics.root_mean_squared_error(true, said)
    assert figures["rmse"].value == pytest.approx(rmse)
    assert figures["r2"].value == pytest.approx(metrics.r2_score(true, said), rel=1e-6)
    assert figures["bias"].value == pytest.approx(float(np.mean(said - true)))
    error = np.abs(said - true)
    assert figures["error_p90"].value == pytest.approx(float(np.quantile(error, 0.9)), rel=0.03)


def test_thousands_of_classes_need_no_square_of_them() -> None:
    """Accuracy and averages are exact, of classes and pairs those with the most rows are told."""
    size, n = 20_000, 3000
    random = np.random.default_rng(6)
    true = random.integers(0, 400, n) * 50
    said = np.where(random.random(n) < 0.7, true, random.integers(0, size, n))
    live = live_of({"m": digits(size)})
    live.joined(joined(true, said))
    told = answer(live, "m", Query(average="weighted", ci="clopper_pearson"))
    expected = metrics.precision_recall_fscore_support(
        true, said, average="weighted", zero_division=0.0
    )
    assert told.figures["accuracy"].value == pytest.approx(metrics.accuracy_score(true, said))
    assert [told.figures[part].value for part in PARTS] == pytest.approx(expected[:3])
    macro = metrics.recall_score(
        true, said, labels=np.arange(size), average="macro", zero_division=0.0
    )
    assert told.averages["macro"]["recall"].value == pytest.approx(macro)
    assert len(told.classes) == 200
    assert told.confusion is not None
    assert sum(count for _, _, count, _ in told.confusion.cells) + told.confusion.cut >= n
    names = told.confusion.labels
    place, other, count, _ = told.confusion.cells[0]
    assert count == ((true == int(names[place])) & (said == int(names[other]))).sum()
    assert len(told.notes) == 3


def test_equal_scores_rank_as_in_scikit_learn() -> None:
    """Of equal scores the later class counts as the higher one."""
    random = np.random.default_rng(8)
    scores = random.integers(0, 3, (500, 4)).astype(np.uint16) * 20_000
    true = random.integers(0, 4, 500)
    live = live_of({"m": digits(4)})
    live.joined(joined(true, scores.argmax(axis=1), scores=scores))
    figures = answer(live, "m", Query()).figures
    for k in (2, 3):
        expected = metrics.top_k_accuracy_score(true, scores, k=k, labels=range(4))
        assert figures[f"top_{k}_accuracy"].value == pytest.approx(expected, abs=1e-12)
