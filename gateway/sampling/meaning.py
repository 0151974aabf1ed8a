# SPDX-License-Identifier: Apache-2.0
"""Meaning: what a model's answers mean, and which of its outputs say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from gateway.wire.prediction import WHOLE, find_prediction, fits, listed

if TYPE_CHECKING:
    from gateway.wire.model import ModelInfo, TensorSpec
    from gateway.wire.prediction import Task

Scale = Literal["auto", "probabilities", "logits"]
# Two classes can be told by the score of one of them.
_TWO: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What answers mean, as the section ``quality`` of a model says it.

    *names* are those of the classes in the order of the scores; *positive* is the place of the one
    that a single score is about.
    """

    task: Task = "classification"
    names: tuple[str, ...] = ()
    positive: int = 1
    output: str | None = None
    scores: str | None = None
    scale: Scale = "auto"
    threshold: float = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """Which outputs are read: *said* has the class, the labels or the value, *scored* the scores.

    *places* says of which classes the scores are, where a model gives the highest alone. *single*:
    there is one score, of the positive class. *bare*: outputs have no batch dimension.
    """

    said: TensorSpec | None
    scored: TensorSpec | None = None
    places: TensorSpec | None = None
    single: bool = False
    bare: bool = False

    @property
    def names(self) -> list[str]:
        """The outputs that are read."""
        return [each.name for each in (self.said, self.scored, self.places) if each is not None]


def plan_for(meaning: Meaning, info: ModelInfo) -> Plan:
    """How the outputs of *info* are read for *meaning*; raises ValueError where they cannot be."""
    bare = not info.batched
    if meaning.task == "regression":
        return Plan(_value(meaning, info, bare=bare), bare=bare)
    single = _single(meaning, info, bare=bare)
    if single is not None:
        return Plan(None, single, single=True, bare=bare)
    found = find_prediction(
        info.outputs, meaning.output, bare=bare, task=meaning.task, scores=meaning.scores
    )
    said: TensorSpec | None = found.output
    scored = found.scores
    if found.rule in {"argmax", "above half"}:
        said, scored = None, found.output
    elif meaning.task == "multilabel" and meaning.scores is None:
        rows = [one for one in info.outputs if fits(one, "argmax", bare=bare)]
        scored = rows[0] if rows else None
    places = None
    if scored is not None and meaning.task == "classification":
        places = _places(info, scored)
    if places is not None and said is not None and said.name == places.name:
        said = None
    _check_width(meaning, scored, places)
    if meaning.task == "multilabel":
        _check_width(meaning, said, None)
    return Plan(said, scored, places, bare=bare)


def _value(meaning: Meaning, info: ModelInfo, *, bare: bool) -> TensorSpec:
    """The output with one number a row; a whole one where it is named or the only one."""
    named = [one for one in info.outputs if meaning.output in {None, one.name}]
    for one in named:
        if fits(one, "value", bare=bare):
            return one
    if len(named) == 1 and named[0].datatype != "BYTES" and fits(named[0], "class", bare=bare):
        return named[0]
    shown = listed(info.outputs)
    if meaning.output is not None and not named:
        raise ValueError(f"no output '{meaning.output}'; the model has: {shown}")
    raise ValueError(f"no output says a number: expected one float a row; the model has: {shown}")


def _single(meaning: Meaning, info: ModelInfo, *, bare: bool) -> TensorSpec | None:
    """The one output that is a single score a row, where two classes are told by that."""
    if meaning.task != "classification" or len(meaning.names) != _TWO:
        return None
    name = meaning.output or meaning.scores
    named = [one for one in info.outputs if name in {None, one.name}]
    if len(named) == 1 and fits(named[0], "value", bare=bare):
        return named[0]
    return None


def _places(info: ModelInfo, scored: TensorSpec) -> TensorSpec | None:
    """The output that says of which classes the scores are: as many whole numbers, named so."""
    for one in info.outputs:
        if (
            one.name == f"{scored.name}_indices"
            and one.datatype in WHOLE - {"BYTES", "BOOL"}
            and one.shape == scored.shape
        ):
            return one
    return None


def _check_width(meaning: Meaning, spec: TensorSpec | None, places: TensorSpec | None) -> None:
    if spec is None:
        return
    width, classes = spec.shape[-1], len(meaning.names)
    if width in {-1, classes} or (places is not None and width < classes):
        return
    raise ValueError(
        f"output '{spec.name}' has {width} columns, and there are {classes} classes; expected "
        "one for each"
    )
