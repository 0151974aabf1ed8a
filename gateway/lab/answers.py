# SPDX-License-Identifier: Apache-2.0
"""Answers: which outputs of a model say what it predicts, and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from gateway.lab import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.lab.dataset import Task
    from gateway.wire.model import TensorSpec
    from gateway.wire.tensor import Array

_WHOLE = frozenset({"BOOL", "BYTES", "INT8", "INT16", "INT32", "INT64",
                    "UINT8", "UINT16", "UINT32", "UINT64"})  # fmt: skip
# A label is given where its score is above this.
_HALF = 0.5
Rule = Literal["class", "argmax", "labels", "above half", "value"]
_RULES: dict[Task, tuple[Rule, ...]] = {
    "classification": ("class", "argmax"),
    "multilabel": ("labels", "above half"),
    "regression": ("value",),
}
_SAYS: dict[Task, str] = {
    "classification": "no output says a class: expected one whole number or text a row, or a row "
    "of two or more floats",
    "multilabel": "no output says labels: expected a row of two or more whole numbers or floats",
    "regression": "no output says a number: labels are fractions, so one float a row is "
    "expected (classes are whole numbers or names)",
}


@dataclass(frozen=True, slots=True)
class Prediction:
    """Which output says what is predicted, and how; *scores* is a row of floats beside it.

    "class": it is the class. "argmax": its highest column is. "labels": 0 or 1 a label. "above
    half": a score a label. "value": it is the number.
    """

    output: TensorSpec
    rule: Rule
    scores: TensorSpec | None = None

    @property
    def outputs(self) -> list[TensorSpec]:
        """What to ask for."""
        if self.scores is None or self.scores.name == self.output.name:
            return [self.output]
        return [self.output, self.scores]


def prediction_of(
    outputs: Sequence[TensorSpec],
    name: str | None,
    *,
    bare: bool,
    task: Task = "classification",
    scores: str | None = None,
) -> Prediction:
    """Where the prediction is found among *outputs*, and the scores behind it.

    The output *name*, else the first one that fits the *task*: for classes one with one whole
    number or text a row, or one with a row of two or more floats. *scores* names the output of
    scores, else it is the first one with such a row. Raises LabError where there is none.
    """
    shown = ", ".join(f"{one.name} {one.datatype} {list(one.shape)}" for one in outputs)
    candidates = list(outputs) if name is None else [one for one in outputs if one.name == name]
    if not candidates:
        raise LabError(f"no output '{name}'; the model has: {shown}")
    for rule in _RULES[task]:
        for one in candidates:
            if _fits(one, rule, bare=bare):
                return Prediction(one, rule, _scores(outputs, one, rule, scores, shown, bare=bare))
    raise LabError(f"{_SAYS[task]}; the model has: {shown}")


def _scores(
    outputs: Sequence[TensorSpec],
    output: TensorSpec,
    rule: Rule,
    name: str | None,
    shown: str,
    *,
    bare: bool,
) -> TensorSpec | None:
    rows = [one for one in outputs if _fits(one, "argmax", bare=bare)]
    if name is not None:
        named = [one for one in rows if one.name == name]
        if not named:
            raise LabError(f"no output '{name}' with a row of floats; the model has: {shown}")
        return named[0]
    if rule == "argmax":
        return output
    return rows[0] if rows and rule == "class" else None


def _fits(spec: TensorSpec, rule: Rule, *, bare: bool) -> bool:
    row = spec.shape if bare else spec.shape[1:]
    single = all(size in {1, -1} for size in row)
    wide = len(row) == 1 and row[0] != 1
    if rule == "class":
        return spec.datatype in _WHOLE and single
    if rule == "labels":
        return spec.datatype in _WHOLE - {"BYTES"} and wide
    if rule == "value":
        return spec.datatype not in _WHOLE and single
    return spec.datatype not in _WHOLE and wide


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
