# SPDX-License-Identifier: Apache-2.0
"""Quality: the outcome of an evaluation, as plain data for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from gateway.lab import LabError
from gateway.lab.answers import columns_of
from gateway.statistics.classification import Outcomes, best_constant
from gateway.statistics.confusion import ConfusionMatrix
from gateway.statistics.estimate import Estimate, accuracy_sentence
from gateway.statistics.figures import (
    AVERAGES,
    class_figures,
    effective_of,
    matrix_figures,
    multilabel_figures,
    regression_figures,
)
from gateway.statistics.multilabel import Multilabel
from gateway.statistics.regression import Regression
from gateway.statistics.score_figures import ClassArea, are_probabilities, score_figures

if TYPE_CHECKING:
    from gateway.lab.dataset import Task
    from gateway.wire.tensor import Array

# Raised when a field changes its meaning or goes; new fields leave it.
SCHEMA_VERSION: Final = 1
_PARTS: Final = ("precision", "recall", "f1")


class AverageQuality(msgspec.Struct, frozen=True):
    """Precision, recall and F1 over all classes, and the lower and upper end of each."""

    precision: float
    recall: float
    f1: float
    intervals: dict[str, tuple[float, float]]


class ClassQuality(msgspec.Struct, frozen=True):
    """One class: how many of its predictions and of its rows are right.

    *roc_auc* and *average_precision* are those of its scores against the rest, where there are any.
    """

    label: int | str
    precision: Estimate
    recall: Estimate
    f1: Estimate
    specificity: Estimate
    roc_auc: Estimate | None = None
    average_precision: float | None = None


class Baseline(msgspec.Struct, frozen=True):
    """The class that would be right most often if it were always said, and how often."""

    label: int | str
    accuracy: float


class Latency(msgspec.Struct, frozen=True):
    """What the requests of a pass took, in milliseconds, and the rows answered a second."""

    concurrency: int
    requests: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    rows_per_second: float

    @classmethod
    def of(cls, latencies: Array, *, seconds: float, rows: int, concurrency: int) -> Latency:
        """From *latencies* in seconds, one a request, of a pass that took *seconds*."""
        p50, p90, p99, most = (np.quantile(latencies, [0.5, 0.9, 0.99, 1.0]) * 1e3).tolist()
        return cls(concurrency, len(latencies), p50, p90, p99, most, rows / seconds)


class UnderLoad(msgspec.Struct, frozen=True):
    """A second pass: the same rows, shuffled, in batches of random sizes, many at a time.

    *changed_rows* were answered otherwise than at rest. *main* is the first figure, once more.
    """

    main: Estimate
    changed_rows: int
    first_changed: list[int]
    largest_score_change: float | None
    latency: Latency


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """An evaluation. *confusion* counts rows by true class (rows) and predicted class (columns).

    *task* is what the labels say: classification, multilabel or regression. *rule* says how
    *output* names a prediction. *classes_from*: averages go over the classes that were ``seen`` or
    ``given``. *seconds* is the time of all requests. *accuracy* is that of whole rows, and null for
    a regression. *figures* has every metric by name; *notes* say what is missing and why.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    url: str
    protocol: str
    task: str
    output: str
    rule: str
    scores: str | None = None
    data: str
    rows: int
    weighted: bool
    seconds: float
    finished: str
    level: float
    classes_from: str
    sentence: str
    accuracy: Estimate | None
    baseline: Baseline | None = None
    figures: dict[str, Estimate]
    averages: dict[str, AverageQuality] = {}
    classes: list[ClassQuality] = []
    confusion: list[list[int]] = []
    notes: list[str] = []
    latency: Latency | None = None
    under_load: UnderLoad | None = None

    def json(self) -> bytes:
        """This as an indented JSON object; what is not a number is null."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of the rows of a set, and what was predicted: arrays of [n] or [n, labels].

    *scores* are [n, C] or None. *weights* are [n] or None. *classes* is how many classes there are,
    0 to it less 1, or None for those that occur. Intervals are at *level*, and *seed* draws those
    that have no formula.
    """

    task: Task
    labels: Array
    predicted: Array
    scores: Array | None = None
    weights: Array | None = None
    classes: int | None = None
    level: float = 0.95
    seed: int = 0

    def main(self) -> Estimate:
        """The first figure alone: accuracy, subset accuracy, or the mean absolute error."""
        figures = self.fields()["figures"]
        first: Estimate = next(iter(figures.values()))
        return first

    def fields(self) -> dict[str, Any]:
        """The fields of `Quality` that rows decide; raises LabError for labels that do not fit."""
        rows = len(self.labels)
        try:
            if self.task == "regression":
                found = self._regression()
            elif self.task == "multilabel":
                found = self._multilabel()
            else:
                found = self._classification()
        except ValueError as error:
            raise LabError(str(error)) from None
        known = {"task": self.task, "rows": rows, "level": self.level}
        return {**known, "weighted": self.weights is not None, **found}

    def _regression(self) -> dict[str, Any]:
        state = Regression()
        state.add(self.labels, self.predicted, self.weights)
        figures = regression_figures(state, level=self.level)
        error, spread = figures["rmse"], state.spread()
        sentence = (
            f"Over {state.rows} rows predictions are off by {figures['mae'].value:.4g} on average, "
            f"and by {figures['error_p90'].value:.4g} or less for 9 of 10. Always saying the mean "
            f"would give an RMSE of {spread:.4g}; the model's is {error.value:.4g} "
            f"({error.lower:.4g} to {error.upper:.4g} with {self.level:.0%} confidence)."
        )
        return {"accuracy": None, "figures": figures, "sentence": sentence, "classes_from": "none"}

    def _multilabel(self) -> dict[str, Any]:
        if self.predicted.shape != self.labels.shape:
            raise ValueError(
                f"labels of shape {list(self.labels.shape)} but predictions of shape "
                f"{list(self.predicted.shape)}"
            )
        state = Multilabel(labels=self.labels.shape[1])
        state.add(self.labels, self.predicted, self.weights)
        figures = multilabel_figures(state, level=self.level)
        whole = figures["subset_accuracy"]
        scale = state.effective / state.outcomes().all
        each = class_figures(state.outcomes(), level=self.level, scale=scale)
        return {
            "accuracy": whole,
            "figures": figures,
            "sentence": accuracy_sentence(whole, level=self.level)
            + " A row is right when all of its labels are.",
            "classes_from": "labels",
            "classes": [
                ClassQuality(place, one["precision"], one["recall"], one["f1"], one["specificity"])
                for place, one in enumerate(each)
            ],
        }

    def _classification(self) -> dict[str, Any]:
        truth, said = self.labels, self.predicted
        known = None if self.classes is None else range(self.classes)
        if known is not None:
            for what, values in (("true", truth), ("predicted", said)):
                strangers = ~np.isin(values, np.asarray(known))
                if strangers.any():
                    stranger = values[int(np.argmax(strangers))]
                    raise ValueError(
                        f"{what} class {stranger} is not one of the {self.classes} classes"
                    )
        state = ConfusionMatrix(known)
        state.add(truth, said, self.weights)
        matrix = state.matrix()
        random = np.random.default_rng(self.seed)
        figures = matrix_figures(matrix, random, level=self.level)
        total = float(matrix.weights.sum())
        each = class_figures(
            Outcomes.of(matrix), level=self.level, scale=effective_of(matrix) / total
        )
        names: list[Any] = matrix.classes.tolist()
        scored, areas, notes = self._scored()
        figures |= scored
        best, share = best_constant(matrix)
        classes = []
        for name, one in zip(names, each, strict=True):
            area = areas.get(name)
            classes.append(
                ClassQuality(
                    name, one["precision"], one["recall"], one["f1"], one["specificity"],
                    roc_auc=None if area is None else area.roc_auc,
                    average_precision=None if area is None else area.average_precision,
                )
            )  # fmt: skip
        return {
            "accuracy": figures["accuracy"],
            "figures": figures,
            "averages": {how: _average(figures, how) for how in AVERAGES},
            "baseline": None if best is None else Baseline(best, share),
            "sentence": accuracy_sentence(
                figures["accuracy"], level=self.level, constant=best, constant_accuracy=share
            ),
            "classes_from": "seen" if self.classes is None else "given",
            "classes": classes,
            "confusion": matrix.counts.tolist(),
            "notes": notes,
        }

    def _scored(self) -> tuple[dict[str, Estimate], dict[Any, ClassArea], list[str]]:
        """Figures of scores, areas by class, and why something is missing."""
        if self.scores is None:
            return {}, {}, ["the model gives no scores: no areas, losses or calibration"]
        names = columns_of(self.predicted, self.labels, self.scores)
        if names is None:
            return {}, {}, [
                "nothing says which class each column of scores stands for: no areas or losses"
            ]  # fmt: skip
        place = {name: column for column, name in enumerate(names)}
        distinct, where = np.unique(self.labels, return_inverse=True)
        columns = np.asarray([place.get(name, -1) for name in distinct.tolist()])
        if (columns < 0).any():
            stranger = distinct[int(np.argmin(columns))]
            return {}, {}, [f"class {stranger} has no column of scores: no areas or losses"]
        column = columns[where].astype(np.int64)
        figures, areas = score_figures(column, self.scores, self.weights, level=self.level)
        notes = []
        if not are_probabilities(self.scores):
            notes.append("scores are not probabilities: no Brier score, log loss or calibration")
        return figures, dict(zip(names, areas, strict=True)), notes


def _average(figures: dict[str, Estimate], how: str) -> AverageQuality:
    parts = {part: figures[f"{how}_{part}"] for part in _PARTS}
    return AverageQuality(
        **{part: one.value for part, one in parts.items()},
        intervals={part: (one.lower, one.upper) for part, one in parts.items()},
    )
