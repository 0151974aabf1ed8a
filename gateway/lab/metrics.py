# SPDX-License-Identifier: Apache-2.0
"""Quality of a classifier from its confusion matrix, with intervals.

Precision, recall and F1 are those of scikit-learn from 1.3 on, F1 from counts and not from P and R.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any, Literal, TypeAlias

import numpy as np

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Counts: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Classes: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Average = Literal["macro", "micro", "weighted"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Precision, recall and F1: arrays [C], one value a class, or numbers for an average."""

    precision: Floats
    recall: Floats
    f1: Floats


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the true value lies, at the level that was asked for."""

    lower: float
    upper: float


def seen_classes(truth: Classes, predicted: Classes) -> Classes:
    """The sorted union of both [n] arrays: the classes that scikit-learn takes by default."""
    return np.union1d(truth, predicted)


def confusion_matrix(truth: Classes, predicted: Classes, classes: Classes) -> Counts:
    """Counts [C, C]: row by true class, column by predicted class, in the order of *classes*.

    *truth* and *predicted* are [n]; *classes* [C] is sorted. Raises ValueError for a value that is
    not among *classes*, and for arrays of different length.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"{len(truth)} true labels but {len(predicted)} predictions")
    size = len(classes)
    cells = _places(truth, classes, "true") * size + _places(predicted, classes, "predicted")
    return np.bincount(cells, minlength=size * size).reshape(size, size).astype(np.int64)


def _places(values: Classes, classes: Classes, what: str) -> Counts:
    places = np.searchsorted(classes, values).clip(max=len(classes) - 1).astype(np.int64)
    strangers = classes[places] != values if len(classes) else np.ones(len(values), bool)
    if strangers.any():
        stranger = values[int(np.argmax(strangers))]
        raise ValueError(f"{what} class {stranger} is not one of the {len(classes)} classes")
    return places


def accuracy(matrix: Counts) -> float:
    """The share of the diagonal; nan for an empty matrix."""
    total = int(matrix.sum())
    return int(np.trace(matrix)) / total if total else float("nan")


def class_scores(matrix: Counts, *, zero_division: float = 0.0) -> Scores:
    """Precision, recall and F1 of each class; *zero_division* where a denominator is 0."""
    right = np.diag(matrix)
    return _scores(right, matrix.sum(axis=0), matrix.sum(axis=1), zero_division)


def average_scores(matrix: Counts, how: Average, *, zero_division: float = 0.0) -> Scores:
    """One precision, recall and F1 for all classes, each an array [].

    *macro* is the plain mean over classes, *weighted* by the number of true rows, *micro* counts
    all classes together first. A class whose value is nan (by *zero_division*) is left out.
    """
    right = np.diag(matrix)
    predicted, true = matrix.sum(axis=0), matrix.sum(axis=1)
    if how == "micro":
        return _scores(right.sum(), predicted.sum(), true.sum(), zero_division)
    each = _scores(right, predicted, true, zero_division)
    weights = true if how == "weighted" else None
    return Scores(_mean(each.precision, weights), _mean(each.recall, weights),
                  _mean(each.f1, weights))  # fmt: skip


def _scores(right: Counts, predicted: Counts, true: Counts, zero_division: float) -> Scores:
    return Scores(
        precision=_ratio(right, predicted, zero_division),
        recall=_ratio(right, true, zero_division),
        f1=_ratio(2 * right, predicted + true, zero_division),
    )


def _ratio(above: Counts, below: Counts, zero_division: float) -> Floats:
    result = np.full(np.shape(below), zero_division, dtype=np.float64)
    return np.divide(above, below, out=result, where=np.asarray(below) != 0)


def _mean(values: Floats, weights: Counts | None) -> Floats:
    kept = ~np.isnan(values)
    values = values[kept]
    if not len(values):
        return np.float64("nan") * np.ones(())
    if weights is not None and weights[kept].any():
        return np.asarray(np.average(values, weights=weights[kept]))
    return np.asarray(values.mean())


def wilson(successes: float, n: float, *, level: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion; [0, 1] where *n* is 0.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    1927.
    """
    if n == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / n
    shrink = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends rounding would leave a share just outside of its own interval.
    lower = 0.0 if successes == 0 else max(0.0, centre - half)
    upper = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(lower, upper)


def f1_interval(right: int, predicted: int, true: int, *, level: float = 0.95) -> Interval:
    """The interval of F1 by way of Jaccard's index J, since F1 = 2J / (1 + J) only grows with J.

    *right* of the *predicted* rows and of the *true* rows are the same; given their union, they
    are binomial.
    """
    jaccard = wilson(right, predicted + true - right, level=level)
    return Interval(
        2 * jaccard.lower / (1 + jaccard.lower), 2 * jaccard.upper / (1 + jaccard.upper)
    )
