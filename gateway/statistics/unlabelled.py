# SPDX-License-Identifier: Apache-2.0
"""Unlabelled: what quality the probabilities themselves promise, before any label has come.

Confidence-based performance estimation: if a probability of 0.8 comes true in 80 of 100 rows, the
mean probability of the predicted classes is the accuracy. J. Bialek et al., "Estimating model
performance under covariate shift without labels", 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, sqrt
from typing import Final

import numpy as np

from gateway.statistics.arrays import Floats, Values, ratio, same_rows
from gateway.statistics.classification import Outcomes
from gateway.statistics.intervals import Interval
from gateway.statistics.probability import probabilities_of
from gateway.statistics.ranking import average_precision, roc_auc
from gateway.statistics.special import z_value
from gateway.statistics.tally import Tally

ASSUMES: Final = (
    "An estimate without labels. It assumes that the probabilities are calibrated on data like "
    "these, and that what makes a row belong to its class has not changed. It cannot see a broken "
    "model: one that is sure and wrong looks excellent, and two classes never score below one half."
)


@dataclass(frozen=True, slots=True)
class Expected:
    """An accuracy that is expected, the interval of it, and what it rests on."""

    value: float
    interval: Interval
    rows: int
    assumes: str = ASSUMES


class ExpectedQuality(Tally):
    """Expected counts of a classifier with *classes* columns of calibrated probabilities."""

    def __init__(self, *, classes: int) -> None:
        if classes < 2:
            raise ValueError(f"{classes} classes; expected two or more")
        super().__init__({"classes": 4, "rows": 3}, classes=classes)
        self._classes = classes

    def add(self, predicted: Values, scores: Values, *, sign: int = 1) -> None:
        """Count rows: *predicted* [n] is a column of *scores* [n, classes]."""
        said = np.asarray(predicted)
        values = probabilities_of(scores, len(said))
        same_rows("predicted classes", said, len(values))
        own = np.take_along_axis(values, said[:, None], axis=1)[:, 0]
        keys = np.tile(np.arange(self._classes), len(said))
        chosen = (keys.reshape(-1, self._classes) == said[:, None]).ravel()
        flat = values.ravel()
        self._sums["classes"].add(keys, chosen * 1.0, flat * chosen, flat, sign=sign)
        zeros = np.zeros(len(said), dtype=np.int64)
        self._sums["rows"].add(zeros, own, own * (1 - own), sign=sign)

    def accuracy(self, *, level: float = 0.95) -> Expected:
        """The expected accuracy; the interval is that of a Poisson binomial, sum p (1 - p)."""
        table = self._sums["rows"].table
        if not len(table):
            return Expected(nan, Interval(nan, nan), 0)
        rows, total, variance = table[0].tolist()
        half = z_value(level) * sqrt(max(variance, 0.0)) / rows
        value = total / rows
        return Expected(value, Interval(max(0, value - half), min(1, value + half)), int(rows))

    def outcomes(self) -> Outcomes:
        """Expected counts of each class, for `class_scores` and `average_scores`."""
        sums = self._sums["classes"]
        full = np.zeros((self._classes, 3))
        full[sums.keys] = sums.table[:, 1:]
        rows = self._sums["rows"].table
        return Outcomes(full[:, 1], full[:, 0], full[:, 2], float(rows[0, 0]) if len(rows) else 0.0)


def expected_ranking(stated: Floats) -> tuple[float, float]:
    """The expected area under the ROC curve and average precision of probabilities [n].

    Each row counts as positive by its probability and as negative by the rest.
    """
    twice = np.concatenate((stated, stated))
    truth = np.repeat([True, False], len(stated))
    weights = np.concatenate((stated, 1 - stated))
    return roc_auc(truth, twice, weights), average_precision(truth, twice, weights)


class Isotonic:
    """A calibration: the growing step function that fits outcomes best, linear between steps.

    Pool adjacent violators: R. E. Barlow et al., "Statistical inference under order restrictions",
    1972. Fit it on rows that the model was not trained on.
    """

    def __init__(self, scores: Floats, levels: Floats) -> None:
        self.scores, self.levels = scores, levels

    @classmethod
    def fit(cls, scores: Values, outcomes: Values) -> Isotonic:
        """Fit to *scores* and *outcomes* (0 or 1), both [n]; raises ValueError for no rows."""
        values, places = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
        if not len(values):
            raise ValueError("no rows to calibrate on")
        counts = np.bincount(places).astype(np.float64)
        means = np.bincount(places, weights=np.asarray(outcomes, dtype=np.float64)) / counts
        # Blocks of (mean, weight, number of distinct scores); a violator joins the block before it.
        blocks: list[tuple[float, float, int]] = []
        for mean, count in zip(means.tolist(), counts.tolist(), strict=True):
            block = (mean, count, 1)
            while blocks and blocks[-1][0] >= block[0]:
                before = blocks.pop()
                weight = before[1] + block[1]
                pooled = (before[0] * before[1] + block[0] * block[1]) / weight
                block = (pooled, weight, before[2] + block[2])
            blocks.append(block)
        return cls(values, np.repeat([one[0] for one in blocks], [one[2] for one in blocks]))

    def __call__(self, scores: Values) -> Floats:
        """Calibrated probabilities of *scores*, of the same shape."""
        return np.asarray(np.interp(scores, self.scores, self.levels))


def calibrated(calibrations: list[Isotonic], scores: Floats) -> Floats:
    """*scores* [n, C], each column by its calibration, made to add up to 1 again."""
    columns = [one(scores[:, place]) for place, one in enumerate(calibrations)]
    stacked = np.stack(columns, axis=1)
    total = stacked.sum(axis=1, keepdims=True)
    even = np.full_like(stacked, 1 / max(stacked.shape[1], 1))
    return np.where(total > 0, ratio(stacked, np.broadcast_to(total, stacked.shape), 0.0), even)
