# SPDX-License-Identifier: Apache-2.0
"""Answers: which outputs of a model say what it predicts, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.lab import LabError
from gateway.wire.prediction import Prediction, find_prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.lab.dataset import Task
    from gateway.wire.model import TensorSpec
    from gateway.wire.tensor import Array

__all__ = ["Prediction", "columns_of", "numbers_of", "predicted_of", "prediction_of", "scores_of"]

# A label is given where its score is above this.
_HALF = 0.5


def prediction_of(
    outputs: Sequence[TensorSpec],
    name: str | None,
    *,
    bare: bool,
    task: Task = "classification",
    scores: str | None = None,
) -> Prediction:
    """As `find_prediction`; raises LabError."""
    try:
        return find_prediction(outputs, name, bare=bare, task=task, scores=scores)
    except ValueError as error:
        raise LabError(str(error)) from None


def numbers_of(array: Array, spec: TensorSpec) -> Array:
    """*array* of the output *spec* as floats; raises LabError where one is not a number."""
    if spec.datatype == "BF16":
        array = (array.astype("<u4") << 16).view("<f4")
    if np.isnan(array).any():
        raise LabError(f"output '{spec.name}' holds values that are not numbers")
    return array


def predicted_of(array: Array, prediction: Prediction, rows: int) -> Array:
    """What is predicted for each of *rows* rows: [rows], or [rows, labels] for multilabel.

    Raises LabError on another shape.
    """
    spec, rule = prediction.output, prediction.rule
    name, shape = spec.name, list(array.shape)
    if not array.ndim or array.shape[0] != rows:
        raise LabError(f"output '{name}' has shape {shape} for {rows} rows")
    if rule in {"argmax", "labels", "above half"} and (array.ndim != 2 or array.shape[1] < 2):
        raise LabError(f"output '{name}' has shape {shape}; expected [{rows}, classes]")
    if rule == "argmax":
        return np.asarray(numbers_of(array, spec).argmax(axis=1).astype(np.int64))
    if rule == "labels":
        return np.asarray(array != 0)
    if rule == "above half":
        return np.asarray(numbers_of(array, spec) > _HALF)
    if array.size != rows:
        raise LabError(f"output '{name}' has shape {shape}; expected one class a row")
    if rule == "value":
        return np.asarray(numbers_of(array, spec).reshape(rows).astype(np.float64))
    if array.dtype == object:
        return np.asarray([item.decode("utf-8", "replace") for item in array.ravel()])
    return np.asarray(array.reshape(rows).astype(np.int64))


def scores_of(array: Array, prediction: Prediction, rows: int) -> Array | None:
    """The scores of each of *rows* rows, [rows, columns] float64, or None where there are none."""
    spec = prediction.scores
    if spec is None:
        return None
    if array.ndim != 2 or array.shape[0] != rows:
        raise LabError(
            f"output '{spec.name}' has shape {list(array.shape)}; expected [{rows}, classes]"
        )
    return np.asarray(numbers_of(array, spec).astype(np.float64))


def columns_of(predicted: Array, truth: Array, scores: Array) -> list[int] | list[str] | None:
    """The class of each column of *scores* [n, C], or None where nothing says it.

    What is said together with the highest score of a column names the column, as long as it is
    always the same. A column that is never the highest takes its own number, or the one class
    that is left.
    """
    size = scores.shape[1]
    highest = scores.argmax(axis=1)
    known: dict[int, int | str] = {}
    for column in np.unique(highest).tolist():
        said = np.unique(predicted[highest == column]).tolist()
        if len(said) == 1:
            known[column] = said[0]
    present = np.union1d(predicted, truth)
    if present.dtype.kind in "iu" and present.min() >= 0 and present.max() < size:
        # Where names of columns contradict each other, a threshold other than the highest rules.
        plain = all(column == name for column, name in known.items())
        if plain or len(set(known.values())) < len(known):
            return list(range(size))
    if len(set(known.values())) < len(known):
        return None
    left = [name for name in present.tolist() if name not in known.values()]
    missing = [column for column in range(size) if column not in known]
    if len(missing) == 1 and len(left) == 1:
        known[missing[0]] = left[0]
    if len(known) < size:
        return None
    return [known[column] for column in range(size)]  # type: ignore[return-value]  # of one kind
