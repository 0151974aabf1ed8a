# SPDX-License-Identifier: Apache-2.0
"""Multilabel: rows that have any number of labels at once, as 0 and 1 in a column a label."""

from __future__ import annotations

from math import isnan, nan
from typing import Final

import numpy as np

from gateway.statistics.arrays import Booleans, Floats, Values, ratio, same_rows, weights_of
from gateway.statistics.classification import Outcomes, Scores, class_scores
from gateway.statistics.tally import Tally

_MEASURES: Final = ("precision", "recall", "f")


class Multilabel(Tally):
    """Counts of *labels* columns, and sums over rows for the averages that go over rows.

    *beta* belongs to the state, as F-beta of a row is no sum of counts.
    """

    def __init__(self, *, labels: int, beta: float = 1.0) -> None:
        if labels < 1:
            raise ValueError(f"{labels} labels; expected one or more")
        # Per row: precision, recall and F where defined, and the weight of rows where they are not.
        super().__init__({"columns": 4, "rows": 11}, labels=labels, beta=beta)
        self._labels, self._beta = labels, beta

    def add(
        self, true: Values, predicted: Values, weights: Values | None = None, *, sign: int = 1
    ) -> None:
        """Count rows: *true* and *predicted* are [n, labels] of 0 and 1, *weights* [n]."""
        truth, said = self._bits(true), self._bits(predicted)
        same_rows("predicted labels", said, len(truth))
        weight = weights_of(weights, len(truth))
        columns, rows = row_columns(truth, said, weight, beta=self._beta)
        keys = np.tile(np.arange(self._labels), len(truth))
        self._sums["columns"].add(keys, *columns, sign=sign)
        self._sums["rows"].add(np.zeros(len(truth), dtype=np.int64), *rows, sign=sign)

    def _bits(self, values: Values) -> Values:
        array = np.asarray(values)
        if array.ndim != 2 or array.shape[1] != self._labels:
            raise ValueError(
                f"labels of shape {list(array.shape)}; expected [rows, {self._labels}]"
            )
        bits = array.astype(bool)
        if not (bits == array).all():
            raise ValueError("labels other than 0 and 1")
        return bits

    def _row(self) -> Floats:
        table = self._sums["rows"].table
        return table[0] if len(table) else np.zeros(11)

    @property
    def rows(self) -> int:
        """How many rows are counted."""
        return int(self._row()[0])

    @property
    def effective(self) -> float:
        """(sum w)^2 / sum w^2: how many rows of equal weight say as much."""
        row = self._row()
        return float(row[1] ** 2 / row[2]) if row[2] else 0.0

    def outcomes(self) -> Outcomes:
        """Weights of each label, for `class_scores`, `average_scores` and `specificity`."""
        sums = self._sums["columns"]
        full = np.zeros((self._labels, 3))
        full[sums.keys] = sums.table[:, 1:]
        return Outcomes(full[:, 0], full[:, 1], full[:, 2], float(self._row()[1]))

    def samples(self, *, zero_division: float = 0.0) -> Scores:
        """The mean over rows of each row's precision, recall and F-beta (`average="samples"`)."""
        row = self._row()
        means = []
        for place in range(len(_MEASURES)):
            total, undefined = row[5 + 2 * place], row[6 + 2 * place]
            if isnan(zero_division):
                means.append(ratio(total, row[1] - undefined))
            else:
                means.append(ratio(total + zero_division * undefined, row[1]))
        return Scores(*means)

    def subset_accuracy(self) -> float:
        """The share of rows with every label right; nan without rows."""
        row = self._row()
        return float(row[3] / row[1]) if row[1] else nan

    def hamming_loss(self) -> float:
        """The share of single labels that are wrong; nan without rows."""
        row = self._row()
        return float(row[4] / (row[1] * self._labels)) if row[1] else nan


def row_columns(
    truth: Booleans, said: Booleans, weight: Floats, *, beta: float = 1.0
) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    """What rows [n, labels] add to the tables of `Multilabel` after the count.

    First three columns [n * labels] by label, then ten [n] by row.
    """
    labels = truth.shape[1]
    both = truth & said
    heavy = np.repeat(weight, labels)
    row = Outcomes(
        both.sum(axis=1).astype(float),
        said.sum(axis=1).astype(float),
        truth.sum(axis=1).astype(float),
        float(labels),
    )
    scores = class_scores(row, beta=beta, zero_division=nan)
    columns = []
    for one in (scores.precision, scores.recall, scores.f):
        undefined = np.isnan(one)
        columns += [weight * np.where(undefined, 0, one), weight * undefined]
    exact = (truth == said).all(axis=1)
    wrong = (truth != said).sum(axis=1)
    return (
        (heavy * both.ravel(), heavy * said.ravel(), heavy * truth.ravel()),
        (weight, weight * weight, weight * exact, weight * wrong, *columns),
    )
