# SPDX-License-Identifier: Apache-2.0
"""Prediction: which outputs of a model say what it predicts, found by datatype and shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.wire.model import TensorSpec

Task = Literal["classification", "multilabel", "regression"]
Rule = Literal["class", "argmax", "labels", "above half", "value"]

WHOLE: Final = frozenset({"BOOL", "BYTES", "INT8", "INT16", "INT32", "INT64",
                          "UINT8", "UINT16", "UINT32", "UINT64"})  # fmt: skip
_RULES: Final[dict[Task, tuple[Rule, ...]]] = {
    "classification": ("class", "argmax"),
    "multilabel": ("labels", "above half"),
    "regression": ("value",),
}
_SAYS: Final[dict[Task, str]] = {
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


def find_prediction(
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
    scores, else it is the first one with such a row. *bare*: outputs have no batch dimension.
    Raises ValueError where there is none.
    """
    shown = listed(outputs)
    candidates = list(outputs) if name is None else [one for one in outputs if one.name == name]
    if not candidates:
        raise ValueError(f"no output '{name}'; the model has: {shown}")
    for rule in _RULES[task]:
        for one in candidates:
            if fits(one, rule, bare=bare):
                return Prediction(one, rule, _scores(outputs, one, rule, scores, shown, bare=bare))
    raise ValueError(f"{_SAYS[task]}; the model has: {shown}")


def listed(outputs: Sequence[TensorSpec]) -> str:
    """*outputs* in words."""
    return ", ".join(f"{one.name} {one.datatype} {list(one.shape)}" for one in outputs)


def fits(spec: TensorSpec, rule: Rule, *, bare: bool) -> bool:
    """Whether *spec* can be read by *rule*."""
    row = spec.shape if bare else spec.shape[1:]
    single = all(size in {1, -1} for size in row)
    wide = len(row) == 1 and row[0] != 1
    if rule == "class":
        return spec.datatype in WHOLE and single
    if rule == "labels":
        return spec.datatype in WHOLE - {"BYTES"} and wide
    if rule == "value":
        return spec.datatype not in WHOLE and single
    return spec.datatype not in WHOLE and wide


def _scores(
    outputs: Sequence[TensorSpec],
    output: TensorSpec,
    rule: Rule,
    name: str | None,
    shown: str,
    *,
    bare: bool,
) -> TensorSpec | None:
    rows = [one for one in outputs if fits(one, "argmax", bare=bare)]
    if name is not None:
        named = [one for one in rows if one.name == name]
        if not named:
            raise ValueError(f"no output '{name}' with a row of floats; the model has: {shown}")
        return named[0]
    if rule == "argmax":
        return output
    return rows[0] if rows and rule == "class" else None
