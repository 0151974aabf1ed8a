# SPDX-License-Identifier: Apache-2.0
"""Classifier: all that is kept of a classifier's labelled rows, as one state that merges.

A window's bucket holds one of these for each model digest, role and slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from gateway.statistics.arrays import Values, weights_of
from gateway.statistics.confusion import ConfusionMatrix
from gateway.statistics.estimate import Estimate
from gateway.statistics.figures import matrix_figures
from gateway.statistics.intervals import Interval, Method
from gateway.statistics.probability import Calibration, Losses
from gateway.statistics.ranking import Ranks, ScoreHistogram
from gateway.statistics.tally import Tally


class Classifier:
    """Rows of a classifier: the confusion matrix, and with *scores* all that scores add to it.

    *classes* are the configured ones, in the order of the score columns. *probabilities* says that
    scores of a row are probabilities that add up to 1.
    """

    def __init__(
        self,
        classes: Sequence[int] | Sequence[str],
        *,
        scores: bool = False,
        probabilities: bool = True,
        bins: int = 2048,
    ) -> None:
        self._classes: list[Any] = list(classes)
        self._options: dict[str, Any] = {
            "scores": scores,
            "probabilities": probabilities,
            "bins": bins,
        }
        self.confusion = ConfusionMatrix(self._classes)
        self._codes = {name: place for place, name in enumerate(self._classes)}
        self._binary = len(self._classes) == 2
        self._columns = 1 if self._binary else len(self._classes)
        self._ranks = Ranks()
        self._histogram = ScoreHistogram(
            columns=self._columns, bins=bins, probabilities=probabilities
        )
        self._losses = Losses(half=self._binary)
        self._calibration = Calibration()

    def _parts(self) -> dict[str, Tally]:
        """What scores add, by name."""
        if not self._options["scores"]:
            return {}
        parts: dict[str, Tally] = {"ranks": self._ranks, "histogram": self._histogram}
        if self._options["probabilities"]:
            parts |= {"losses": self._losses, "calibration": self._calibration}
        return parts

    def __repr__(self) -> str:
        return f"<Classifier of {len(self._classes)} classes, {self.confusion.rows} rows>"

    def add(
        self,
        true: Values,
        predicted: Values,
        scores: Values | None = None,
        weights: Values | None = None,
        *,
        sign: int = 1,
    ) -> None:
        """Count rows: *true*, *predicted*, *weights* [n], *scores* [n, classes].

        A row whose true class is not configured counts in the confusion matrix alone. Raises
        ValueError where scores are missing or of another shape.
        """
        self.confusion.add(true, predicted, weights, sign=sign)
        if not self._options["scores"]:
            return
        size = len(self._classes)
        if scores is None or scores.shape != (len(true), size):
            shape = "missing" if scores is None else f"of shape {list(scores.shape)}"
            raise ValueError(f"scores {shape}; expected [{len(true)}, {size}]")
        weight = weights_of(weights, len(true))
        column, said = self._places(np.asarray(true)), self._places(np.asarray(predicted))
        known = column >= 0
        if not known.all():
            column, said, scores, weight = column[known], said[known], scores[known], weight[known]
        values = np.asarray(scores, dtype=np.float64)
        self._ranks.add(column, values, weight, sign=sign)
        truth = column[:, None] == np.arange(size)
        if self._binary:
            self._histogram.add(truth[:, 1:], values[:, 1:], weight, sign=sign)
        else:
            self._histogram.add(truth, values, weight, sign=sign)
        if self._options["probabilities"]:
            self._losses.add(column, values, weight, sign=sign)
            self._calibration.add(column == said, values.max(axis=1), weight, sign=sign)

    def _places(self, names: Values) -> Values:
        """The score column of each of *names* [n], -1 for one that has none."""
        distinct, places = np.unique(names, return_inverse=True)
        columns = [self._codes.get(name, -1) for name in distinct.tolist()]
        return np.asarray(columns, dtype=np.int64)[places]

    def merge(self, other: Self, sign: int = 1) -> None:
        """Add what *other* counted; with *sign* -1 take it away."""
        self.confusion.merge(other.confusion, sign)
        if self._options != other._options:
            raise ValueError(f"states with {self._options} and {other._options} do not merge")
        others = other._parts()
        for name, part in self._parts().items():
            part.merge(others[name], sign)

    def copy(self) -> Self:
        """The same counts, apart."""
        same = type(self)(self._classes, **self._options)
        same.merge(self)
        return same

    def pack(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "classes": self._classes,
            "options": self._options,
            "confusion": self.confusion.pack(),
            "parts": {name: part.pack() for name, part in self._parts().items()},
        }

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Self:
        """What `pack` gave."""
        state = cls(packed["classes"], **packed["options"])
        state.confusion = ConfusionMatrix.unpack(packed["confusion"])
        unpacked = packed["parts"]
        state._restore(
            {name: type(part).unpack(unpacked[name]) for name, part in state._parts().items()}
        )
        return state

    def _restore(self, parts: dict[str, Tally]) -> None:
        for name, part in self._parts().items():
            part.merge(parts[name])

    def figures(
        self, random: np.random.Generator, *, level: float = 0.95, top: int = 5
    ) -> dict[str, Estimate]:
        """Every figure of the state, by name; areas under curves are within the bound of bins.

        Figures over scores are those of the configured classes; multiclass areas are the mean of
        the classes that have both sides. *random* draws the intervals of averages.
        """
        matrix = self.confusion.matrix()
        found = matrix_figures(matrix, random, level=level)
        if not self._options["scores"]:
            return found
        rows = matrix.rows
        found |= rank_figures(self._ranks, len(self._classes), rows, level=level, top=top)
        found |= area_figures(self._histogram, self._columns, rows, level=level)
        if self._options["probabilities"]:
            found |= loss_figures(
                self._losses, self._calibration, rows, self._ranks.effective, level=level
            )
        return found


def rank_figures(
    ranks: Ranks, classes: int, rows: int, *, level: float, top: int = 5, how: Method = "wilson"
) -> dict[str, Estimate]:
    """The share of rows whose true class is among the 2, 3, … *top* highest of *classes*."""
    return {
        f"top_{k}_accuracy": Estimate.share(
            ranks.top(k), rows, ranks.effective, level=level, how=how
        )
        for k in range(2, min(top, classes - 1) + 1)
    }


def loss_figures(
    losses: Losses, calibration: Calibration, rows: int, effective: float, *, level: float
) -> dict[str, Estimate]:
    """Brier score, log loss and the expected calibration error."""
    found = {}
    for name, (value, interval) in (
        ("brier", losses.brier(level=level)),
        ("log_loss", losses.log_loss(level=level)),
    ):
        found[name] = Estimate.of(value, interval, rows, method="normal", effective=effective)
    unknown = Interval(float("nan"), float("nan"))
    found["ece"] = Estimate.of(calibration.ece(), unknown, rows, method="none", effective=effective)
    return found


def area_figures(
    histogram: ScoreHistogram, columns: int, rows: int, *, level: float
) -> dict[str, Estimate]:
    """Areas under the curves, of more than one column the mean of those that have both sides."""
    areas, precisions = [], []
    for column in range(columns):
        area = histogram.roc_auc(column)
        if not np.isnan(area.value):
            areas.append((area.value, histogram.roc_interval(column, level=level)))
            precisions.append(histogram.average_precision(column))
    if not areas:
        return {}
    # Classes share rows: as if their errors all moved together, widths are averaged.
    interval = Interval(
        float(np.mean([one.lower for _, one in areas])),
        float(np.mean([one.upper for _, one in areas])),
    )
    bound = Interval(
        float(np.mean([one.lower for one in precisions])),
        float(np.mean([one.upper for one in precisions])),
    )
    return {
        "roc_auc": Estimate.of(
            float(np.mean([value for value, _ in areas])), interval, rows,
            method="hanley-mcneil and bins",
        ),
        "average_precision": Estimate.of(
            float(np.mean([one.value for one in precisions])), bound, rows,
            method="bound of the bins alone",
        ),
    }  # fmt: skip
