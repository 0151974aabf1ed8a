# SPDX-License-Identifier: Apache-2.0
"""Classification: every metric that is a function of the confusion matrix.

Values are those of scikit-learn from 1.3 on, with its `zero_division` and its averages: F-beta from
counts and not from precision and recall, nan left out of averages, classes without weight counted
alike where all weights are 0. tests/unit/statistics/test_sklearn.py compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan, sqrt
from typing import Literal

import numpy as np

from gateway.statistics.arrays import Floats, ratio
from gateway.statistics.confusion import Matrix

Average = Literal["macro", "micro", "weighted"]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Weights [C] of each class: of rows rightly *hit*, *predicted*, *true*, and of *all* rows [].

    Hit rows are the true positives; predicted less hit are the false positives, true less hit the
    false negatives.
    """

    hit: Floats
    predicted: Floats
    true: Floats
    all: float

    @classmethod
    def of(cls, matrix: Matrix) -> Outcomes:
        """Those of the listed classes of *matrix*; others count as errors of these."""
        weights, listed = matrix.weights, slice(matrix.listed)
        return cls(
            weights.diagonal()[listed].copy(),
            weights.sum(axis=0)[listed],
            weights.sum(axis=1)[listed],
            float(weights.sum()),
        )


@dataclass(frozen=True, slots=True)
class Scores:
    """Precision, recall and F-beta: arrays [C], one value a class, or [] for an average."""

    precision: Floats
    recall: Floats
    f: Floats


def class_scores(counts: Outcomes, *, beta: float = 1.0, zero_division: float = 0.0) -> Scores:
    """Precision, recall and F-beta of each class; *zero_division* where a denominator is 0.

    F-beta is (1 + b^2) tp / (b^2 true + predicted): C. J. van Rijsbergen, "Information Retrieval",
    1979. *beta* of 0 is precision, of infinity recall.
    """
    if not beta >= 0:
        raise ValueError(f"beta {beta}: expected 0 or more")
    precision = ratio(counts.hit, counts.predicted, zero_division)
    recall = ratio(counts.hit, counts.true, zero_division)
    if beta == inf:
        return Scores(precision, recall, recall)
    if beta == 0:
        return Scores(precision, recall, precision)
    square = beta * beta
    below = square * counts.true + counts.predicted
    return Scores(precision, recall, ratio((1 + square) * counts.hit, below, zero_division))


def average_scores(
    counts: Outcomes, how: Average, *, beta: float = 1.0, zero_division: float = 0.0
) -> Scores:
    """One precision, recall and F-beta for all classes.

    *macro* is the plain mean over classes, *weighted* by their true rows, *micro* counts all
    classes together first. A class whose value is nan (by *zero_division*) is left out.
    """
    if how == "micro":
        whole = Outcomes(counts.hit.sum(), counts.predicted.sum(), counts.true.sum(), counts.all)
        return class_scores(whole, beta=beta, zero_division=zero_division)
    each = class_scores(counts, beta=beta, zero_division=zero_division)
    weights = counts.true if how == "weighted" else None
    return Scores(*(np.asarray(mean_defined(one, weights))
                    for one in (each.precision, each.recall, each.f)))  # fmt: skip


def mean_defined(values: Floats, weights: Floats | None = None) -> float:
    """The mean of those *values* [n] that are not nan, plain where all *weights* are 0."""
    kept = ~np.isnan(values)
    if not kept.any():
        return nan
    if weights is not None and weights[kept].any():
        return float(np.average(values[kept], weights=weights[kept]))
    return float(values[kept].mean())


def specificity(counts: Outcomes, *, zero_division: float = nan) -> Floats:
    """Tn / (tn + fp) of each class [C]: of the rows of other classes, the share left alone."""
    negative = counts.all - counts.true
    return ratio(negative - (counts.predicted - counts.hit), negative, zero_division)


def accuracy(matrix: Matrix) -> float:
    """The share of right rows; nan without rows."""
    total = float(matrix.weights.sum())
    return float(np.trace(matrix.weights)) / total if total else nan


def balanced_accuracy(matrix: Matrix) -> float:
    """The mean recall of the classes that have true rows."""
    weights = matrix.weights
    return mean_defined(ratio(weights.diagonal(), weights.sum(axis=1)))


def matthews(matrix: Matrix) -> float:
    """Matthews' correlation coefficient, from -1 to 1; 0 where a side has one class only.

    J. Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient",
    2004: (c s - p.t) / sqrt((s^2 - p.p)(s^2 - t.t)).
    """
    weights = matrix.weights
    total = float(weights.sum())
    predicted, true = weights.sum(axis=0), weights.sum(axis=1)
    spread = (total**2 - float(predicted @ predicted)) * (total**2 - float(true @ true))
    if not spread > 0:
        return 0.0
    return (float(np.trace(weights)) * total - float(predicted @ true)) / sqrt(spread)


def kappa(matrix: Matrix) -> float:
    """Cohen's kappa: agreement beyond that of chance; nan where chance alone gives all of it.

    J. Cohen, "A coefficient of agreement for nominal scales", 1960.
    """
    weights = matrix.weights
    total = float(weights.sum())
    if not total:
        return nan
    by_chance = np.outer(weights.sum(axis=1), weights.sum(axis=0)) / total
    apart = float(by_chance.sum() - np.trace(by_chance))
    missed = float(weights.sum() - np.trace(weights))
    return 1 - missed / apart if apart else nan


def best_constant(matrix: Matrix) -> tuple[int | str | None, float]:
    """The class that is right most often when it is always said, and that accuracy.

    Of equals the first; (None, nan) without rows. What a model has to beat.
    """
    true = matrix.weights.sum(axis=1)
    if not true.sum():
        return None, nan
    best = int(true.argmax())
    name: int | str = matrix.classes[best].item()
    return name, float(true[best] / true.sum())
