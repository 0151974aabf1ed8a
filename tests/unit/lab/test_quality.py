# SPDX-License-Identifier: Apache-2.0
"""An evaluation's outcome, for programs and for people."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from gateway.lab.quality import Quality

ABOUT = {
    "model": "digits", "url": "http://127.0.0.1:8000", "protocol": "v2-binary", "output": "label",
    "rule": "class", "data": "test.npz", "classes_from": "seen", "seconds": 0.5,
    "finished": "2026-01-01T00:00:00+00:00",
}  # fmt: skip
MATRIX = np.asarray([[8, 2], [1, 9]])


def quality(size: int = 2) -> Quality:
    """Of 20 rows 17 right, in the first two of *size* classes."""
    matrix = np.zeros((size, size), dtype=np.int64)
    matrix[:2, :2] = MATRIX
    return Quality.of(matrix, np.arange(size), level=0.95, **ABOUT)


def test_every_share_has_its_rows_and_its_interval() -> None:
    """Accuracy over all rows, precision over predicted, recall over true, F1 over either."""
    result = quality()
    first = result.classes[0]

    assert (result.accuracy.value, result.accuracy.n) == (0.85, 20)
    assert (round(first.precision.value, 6), first.precision.n) == (0.888889, 9)
    assert (first.recall.value, first.recall.n) == (0.8, 10)
    assert (round(first.f1.value, 6), first.f1.n) == (0.842105, 11)
    for estimate in (result.accuracy, first.precision, first.recall, first.f1):
        assert 0 < estimate.lower < estimate.value < estimate.upper < 1


def test_the_json_has_its_version_and_all_figures() -> None:
    """Programs find the version first and plain values after it."""
    read = json.loads(quality().json())

    assert next(iter(read)) == "schema_version"
    assert read["schema_version"] == 1
    assert read["rows"] == 20
    assert read["confusion"] == MATRIX.tolist()
    assert sorted(read["averages"]) == ["macro", "micro", "weighted"]
    assert read["averages"]["micro"]["f1"] == read["accuracy"]["value"]
    assert [one["label"] for one in read["classes"]] == [0, 1]


def test_a_class_that_never_occurs_says_so_in_its_interval() -> None:
    """Nothing is known of it: any share is possible, over no rows."""
    never = quality(size=3).classes[2]

    assert (never.recall.value, never.recall.lower, never.recall.upper) == (0.0, 0.0, 1.0)
    assert never.recall.n == 0


@pytest.mark.parametrize(("size", "cells"), [(2, True), (100, False)])
def test_tables_show_the_figures_and_stay_readable(size: int, cells: bool) -> None:  # noqa: FBT001 - a case
    """Many classes are cut short; the confusion matrix is shown where it fits."""
    stream = io.StringIO()

    quality(size).show(Console(file=stream, width=100))

    text = stream.getvalue()
    assert "accuracy 0.8500 [" in text
    assert "weighted" in text
    assert ("60 more" in text) != cells
    assert ("predicted" in text) == cells
