# SPDX-License-Identifier: Apache-2.0
"""An evaluation's outcome: its figures are scikit-learn's, and its JSON is plain."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from sklearn import metrics as sk

from gateway.lab import LabError
from gateway.lab.quality import Latency, Quality, Truth, UnderLoad
from gateway.lab.tables import show

ABOUT: dict[str, Any] = {
    "model": "digits", "url": "http://127.0.0.1:8000", "protocol": "v2-binary", "output": "label",
    "rule": "class", "data": "test.npz", "seconds": 0.5, "finished": "2026-01-01T00:00:00+00:00",
}  # fmt: skip
TRUE = np.repeat([0, 1], 10)
SAID = np.asarray([0] * 8 + [1] * 2 + [0] + [1] * 9)


def quality(**changes: Any) -> Quality:
    """Of 20 rows 17 right, in two classes, unless *changes* say otherwise."""
    truth: dict[str, Any] = {"task": "classification", "labels": TRUE, "predicted": SAID}
    return Quality(**ABOUT, **Truth(**truth | changes).fields())


def test_every_share_has_its_rows_and_its_interval() -> None:
    """Accuracy over all rows, precision over predicted, recall over true, F1 over either."""
    result = quality()
    first = result.classes[0]

    assert result.accuracy is not None
    assert (result.accuracy.value, result.accuracy.n) == (0.85, 20)
    assert (round(first.precision.value, 6), first.precision.n) == (0.888889, 9)
    assert (first.recall.value, first.recall.n) == (0.8, 10)
    assert (round(first.f1.value, 6), first.f1.n) == (0.842105, 11)
    assert (first.specificity.value, first.specificity.n) == (0.9, 10)
    for estimate in (result.accuracy, first.precision, first.recall, first.f1):
        assert 0 < estimate.lower < estimate.value < estimate.upper < 1


def test_the_json_has_its_version_and_all_figures() -> None:
    """Programs find the version first and plain values after it."""
    read = json.loads(quality().json())

    assert next(iter(read)) == "schema_version"
    assert read["schema_version"] == 1
    assert read["rows"] == 20
    assert read["confusion"] == [[8, 2], [1, 9]]
    assert sorted(read["averages"]) == ["macro", "micro", "weighted"]
    assert read["averages"]["micro"]["f1"] == read["accuracy"]["value"]
    assert [one["label"] for one in read["classes"]] == [0, 1]
    assert read["baseline"] == {"label": 0, "accuracy": 0.5}
    assert read["notes"] == ["the model gives no scores: no areas, losses or calibration"]
    assert "Of 20 labelled rows 85.00% are right" in read["sentence"]


def test_a_class_that_never_occurs_says_so_in_its_interval() -> None:
    """Nothing is known of it: any share is possible, over no rows."""
    never = quality(classes=3).classes[2]

    assert (never.recall.value, never.recall.lower, never.recall.upper) == (0.0, 0.0, 1.0)
    assert never.recall.n == 0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_figures_of_scores_are_those_of_scikit_learn(classes: int, weighted: bool) -> None:  # noqa: FBT001 - a case
    """Areas, losses, top-k, calibration's inputs: to 1e-12, with weights and without."""
    random = np.random.default_rng(classes)
    scores = random.dirichlet(np.full(classes, 0.5), 400)
    true = (scores.cumsum(axis=1) < random.random((400, 1))).sum(axis=1)
    weights = random.random(400) if weighted else None
    result = quality(labels=true, predicted=scores.argmax(axis=1), scores=scores, weights=weights)
    figures = {name: one.value for name, one in result.figures.items()}
    options: dict[str, Any] = {"sample_weight": weights}
    binary = np.eye(classes)[true]

    wanted = {
        "accuracy": sk.accuracy_score(true, scores.argmax(axis=1), **options),
        "log_loss": sk.log_loss(true, scores, **options),
    }
    if classes == 2:
        wanted |= {
            "roc_auc": sk.roc_auc_score(true, scores[:, 1], **options),
            "average_precision": sk.average_precision_score(true, scores[:, 1], **options),
            "brier": sk.brier_score_loss(true, scores[:, 1], **options),
        }
    else:
        wanted["brier"] = sk.brier_score_loss(true, scores, **options)
        wanted["top_3_accuracy"] = sk.top_k_accuracy_score(true, scores, k=3, **options)
        for how in ("macro", "weighted"):
            wanted[f"{how}_roc_auc"] = sk.roc_auc_score(
                true, scores, multi_class="ovr", average=how, **options
            )
            wanted[f"{how}_average_precision"] = sk.average_precision_score(
                binary, scores, average=how, **options
            )
    for name, value in wanted.items():
        assert figures[name] == pytest.approx(value, abs=1e-12), name
    assert {"ece"} <= set(figures)
    assert result.weighted == weighted


def test_scores_that_are_no_probabilities_have_areas_only() -> None:
    """And the reason for what is missing."""
    scores = np.column_stack((-SAID * 3.0, SAID * 3.0))
    result = quality(scores=scores)

    assert "roc_auc" in result.figures
    assert "brier" not in result.figures
    assert result.notes == ["scores are not probabilities: no Brier score, log loss or calibration"]


def test_columns_without_a_class_are_named_in_a_note() -> None:
    """No area is better than one of the wrong class."""
    names = np.asarray(["a", "b"])
    nameless = quality(labels=names[TRUE], predicted=names[SAID], scores=np.full((20, 3), 1 / 3))
    assert "nothing says which class each column of scores stands for" in nameless.notes[0]
    missing = quality(labels=TRUE * 5, scores=np.eye(2)[SAID], predicted=SAID)
    assert "class 5 has no column of scores" in missing.notes[0]


def test_a_regression_and_labels_have_their_own_figures() -> None:
    """No accuracy of numbers; rows of labels are right when all of them are."""
    y = np.linspace(0, 10, 60)
    numbers = quality(task="regression", labels=y, predicted=y + 0.5)
    true = np.asarray([[1, 0, 1], [0, 0, 1]] * 20)
    said = true.copy()
    said[0, 0] = 0
    labels = quality(task="multilabel", labels=true, predicted=said)

    assert numbers.accuracy is None
    assert numbers.figures["bias"].value == pytest.approx(0.5)
    assert numbers.figures["r2"].value == pytest.approx(sk.r2_score(y, y + 0.5))
    assert "off by 0.5 on average" in numbers.sentence
    assert labels.accuracy is not None
    assert labels.accuracy.value == 39 / 40
    assert labels.classes[0].recall.value == 19 / 20
    with pytest.raises(LabError, match=r"labels of shape \[40, 3\] but predictions"):
        quality(task="multilabel", labels=true, predicted=said[:, :2])


@pytest.mark.parametrize(("size", "cells"), [(2, True), (100, False)])
def test_tables_show_the_figures_and_stay_readable(size: int, cells: bool) -> None:  # noqa: FBT001 - a case
    """Many classes are cut short; the confusion matrix is shown where it fits."""
    text = shown(quality(classes=size))

    assert "accuracy 0.8500 [" in text
    assert "weighted" in text
    assert "accuracy, at every look" in text
    assert ("60 more" in text) != cells
    assert ("predicted" in text) == cells
    assert "…" not in text or not cells


@pytest.mark.parametrize(
    ("changed", "words"),
    [([], "all 20 rows were answered as at rest; no score moved by more than 0.001"),
     ([3, 7], "2 of 20 rows were answered otherwise than at rest: rows 3, 7")],
)  # fmt: skip
def test_the_pass_under_load_stands_beside_the_one_at_rest(changed: list[int], words: str) -> None:
    """Accuracy and latency of both, and whether an answer changed."""
    truth = Truth("classification", TRUE, SAID)
    latency = Latency.of(np.asarray([0.001, 0.003]), seconds=2.0, rows=20, concurrency=4)
    load = UnderLoad(truth.main(), len(changed), changed, 0.001, latency)
    text = shown(Quality(**ABOUT, **truth.fields(), latency=latency, under_load=load))

    assert "at rest" in text
    assert "under load" in text
    assert words in " ".join(text.split())
    assert latency.p50_ms == pytest.approx(2.0)
    assert latency.rows_per_second == 10


def shown(result: Quality) -> str:
    """What a terminal of usual width gets."""
    stream = io.StringIO()
    show(result, Console(file=stream, width=80))
    return stream.getvalue()
