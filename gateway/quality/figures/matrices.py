# SPDX-License-Identifier: Apache-2.0
"""Matrices: the confusion matrix and its like of a view, and the figures that need no more."""

from __future__ import annotations

from math import nan
from typing import Final

import numpy as np

from gateway.quality.figures.view import View
from gateway.statistics.arrays import Floats
from gateway.statistics.classification import Outcomes, average_scores, class_scores
from gateway.statistics.confusion import Matrix
from gateway.statistics.estimate import Estimate
from gateway.statistics.figures import AVERAGES
from gateway.statistics.intervals import Method
from gateway.statistics.multilabel import Multilabel
from gateway.statistics.regression import Regression

# A class that no configuration names, as a label or an answer.
OTHER: Final = "(other)"


def main_figure(view: View, *, level: float, how: Method = "wilson") -> tuple[str, Estimate]:
    """The first figure alone, which costs little: accuracy, or the mean absolute error."""
    rows, effective = view.rows, view.effective
    if view.spec.task == "regression":
        errors = view.numbers or Regression()
        value, interval = errors.mae(level=level)
        return "mae", Estimate.of(value, interval, rows, method="normal", effective=effective)
    if view.spec.task == "multilabel":
        share = sets_of(view).subset_accuracy()
        return "subset_accuracy", Estimate.share(
            share, rows, effective, level=level, always=True, how=how
        )
    whole = view.labelled.total("cells")
    right = float(_right_of(view)[1:].sum())
    share = right / whole[1] if whole[1] else nan
    return "accuracy", Estimate.share(share, rows, effective, level=level, always=True, how=how)


def plain_averages(view: View) -> dict[str, list[float]] | None:
    """Precision, recall and F1 of each average without intervals; None for a regression."""
    spec = view.spec
    if spec.task == "regression":
        return None
    counts = sets_of(view).outcomes() if spec.task == "multilabel" else margins_of(view)
    found: dict[str, list[float]] = {}
    for how in AVERAGES:
        mean = average_scores(counts, how)
        found[how] = [float(one) for one in (mean.precision, mean.recall, mean.f)]
    if spec.binary:
        each = class_scores(counts)
        found["binary"] = [float(one[spec.meant]) for one in (each.precision, each.recall, each.f)]
    return found


def margins_of(view: View) -> Outcomes:
    """The margins of the confusion matrix, without the matrix."""
    size = view.spec.size + 1
    cells = view.labelled["cells"]
    true, predicted = np.divmod(cells.keys, size)
    weight = cells.table[:, 1]
    truly, said = (
        np.bincount(each, weights=weight, minlength=size)[1:].astype(np.float64)
        for each in (true, predicted)
    )
    return Outcomes(_right_of(view)[1:], said, truly, float(weight.sum()))


def matrix_of(view: View) -> Matrix:
    """The confusion matrix; a class that nobody configured comes last where one was met."""
    size = view.spec.size
    cells = view.labelled["cells"]
    true, predicted = np.divmod(cells.keys, size + 1)
    strangers = bool(((true == 0) | (predicted == 0)).any())
    length = size + strangers
    # Place 0 is that of strangers; it goes to the end.
    true, predicted = (np.where(each == 0, size, each - 1) for each in (true, predicted))
    tables = np.zeros((3, length, length))
    tables[:, true, predicted] = cells.table.T
    names = [*view.spec.classes, *([OTHER] if strangers else [])]
    return Matrix(np.asarray(names), size, tables[0].astype(np.int64), tables[1], tables[2])


def _right_of(view: View) -> Floats:
    """The weight of rows that are right, by class; place 0 is that of strangers, who never are."""
    size = view.spec.size + 1
    cells = view.labelled["cells"]
    true, predicted = np.divmod(cells.keys, size)
    right = cells.table[:, 1] * (true == predicted)
    return np.bincount(true, weights=right, minlength=size).astype(np.float64)


def sets_of(view: View) -> Multilabel:
    """The rows of a multilabel view."""
    sums = {"columns": view.labelled["columns"], "rows": view.labelled["rows"]}
    return Multilabel.of(sums, labels=view.spec.size, beta=1.0)
