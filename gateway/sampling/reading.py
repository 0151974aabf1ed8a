# SPDX-License-Identifier: Apache-2.0
"""Reading: from the outputs of many answers to what was predicted, and how surely; in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.sampling.meaning import Meaning, Plan, plan_for
from gateway.wire.samples import NO_CLASS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Array

# Halves of numbers that add up to 1 miss it by this much at most, of a thousand classes.
_NEAR: Final = 0.02


@dataclass(slots=True)
class Read:
    """What *n* answers say.

    *predicted* [n] is as in `gateway.wire.samples.Samples`. *probabilities* [n, C] float64 are of
    all classes, or [n, k] of those at *columns*, the most probable first; None where there are
    none. Rows of scores that are no numbers have no class, and probabilities of 0.
    """

    predicted: Array
    probabilities: Array | None = None
    columns: Array | None = None

    def of(self, rows: Array) -> Read:
        """Those *rows* alone."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        columns = None if self.columns is None else self.columns[rows]
        return Read(self.predicted[rows], probabilities, columns)

    def confidence(self) -> Array | None:
        """How sure the model is of each row [n]: its highest probability.

        Where several labels are said at once, that of its least sure one.
        """
        if self.probabilities is None:
            return None
        if self.predicted.dtype == np.uint64:
            return np.asarray(np.maximum(self.probabilities, 1 - self.probabilities).min(axis=1))
        return np.asarray(self.probabilities.max(axis=1))


class Reader:
    """Reads the answers of a model for *meaning*, once `fit` has seen what it gives."""

    def __init__(self, meaning: Meaning) -> None:
        self.meaning = meaning
        self.plan: Plan | None = None
        # The model's, for answers that do not say it.
        self.version = ""
        # Scores that cannot be probabilities were seen.
        self._logits = meaning.scale == "logits"
        self._places = {name: place for place, name in enumerate(meaning.names)}
        self._numbered = all(_is_whole(name) for name in meaning.names)

    def __repr__(self) -> str:
        return f"<Reader {self.meaning.task} {self.plan!r}>"

    def fit(self, info: ModelInfo) -> None:
        """Find the outputs in *info*; raises ValueError where they do not say what they must."""
        self.plan = plan_for(self.meaning, info)
        self.version = info.version
        self._logits = self.meaning.scale == "logits"

    @property
    def bare(self) -> bool:
        """Whether an answer is of one row, whatever its shape."""
        return self.plan is not None and self.plan.bare

    @property
    def scored(self) -> bool:
        """Whether answers say how sure they are."""
        return self.plan is not None and self.plan.scored is not None

    def read(self, arrays: Mapping[str, Array]) -> Read | None:
        """What *arrays* [n, …] by output say; None where they say nothing.

        That is where a client has not asked for the outputs that would. Raises ValueError for a
        shape that is none of the model's.
        """
        plan = self.plan
        if plan is None:
            return None
        said = None if plan.said is None else arrays.get(plan.said.name)
        scores = None if plan.scored is None else arrays.get(plan.scored.name)
        places = None if plan.places is None else arrays.get(plan.places.name)
        if plan.places is not None and places is None:
            scores = None
        if said is None and scores is None:
            return None
        if self.meaning.task == "regression":
            return None if said is None else Read(_flat(said).astype(np.float64))
        if self.meaning.task == "multilabel":
            return self._labels(said, scores)
        return self._classes(said, scores, places, single=plan.single)

    def _labels(self, said: Array | None, scores: Array | None) -> Read:
        probabilities = None
        truth: Any = False
        if scores is not None:
            values = self._wide(scores).astype(np.float64)
            unknown = np.isnan(values)
            values[unknown] = 0.0
            probabilities = self._each(values)
            probabilities[unknown] = 0.0
            truth = probabilities >= self.meaning.threshold
        if said is not None:
            truth = self._wide(said) != 0
        bits = np.left_shift(np.uint64(1), np.arange(truth.shape[1], dtype=np.uint64))
        return Read((truth * bits).sum(axis=1, dtype=np.uint64), probabilities)

    def _classes(
        self, said: Array | None, scores: Array | None, places: Array | None, *, single: bool
    ) -> Read:
        predicted: Any = NO_CLASS
        read = Read(np.empty(0))
        if scores is not None:
            values = scores.reshape(len(scores), -1).astype(np.float64)
            unknown = np.isnan(values).any(axis=1)
            values[unknown] = 0.0
            predicted = self._scored(read, values, places, single=single)
            if unknown.any():
                predicted = np.where(unknown, NO_CLASS, predicted)
                if read.probabilities is not None:
                    read.probabilities[unknown] = 0.0
        if said is not None:
            predicted = self._said(_flat(said))
        read.predicted = np.asarray(predicted, dtype=np.int32)
        return read

    def _scored(self, read: Read, values: Array, places: Array | None, *, single: bool) -> Array:
        """The classes that *values* [n, …] are for; their probabilities go to *read*."""
        if single:
            read.probabilities = two = self._two(_flat(values))
            positive = self.meaning.positive
            said = two[:, positive] >= self.meaning.threshold
            return np.where(said, positive, 1 - positive)
        if places is not None:
            columns = self._numbers(places.reshape(len(places), -1))
            if self._are_probabilities(values, add_up=False):
                read.probabilities, read.columns = np.clip(values, 0.0, 1.0), columns
            return np.asarray(columns[:, 0])
        read.probabilities = self._shares(self._wide(values))
        return np.asarray(read.probabilities.argmax(axis=1))

    def _said(self, said: Array) -> Array:
        """The places of classes that an output says by name or number."""
        if said.dtype == object:
            known = {name.encode(): place for name, place in self._places.items()}
            places = [known.get(each, NO_CLASS) for each in said.tolist()]
            return np.array(places, dtype=np.int32)
        return self._numbers(said)

    def _numbers(self, said: Array) -> Array:
        """The places of classes that are numbers: names where all are, places otherwise."""
        numbers = said.astype(np.int64)
        if not self._numbered:
            inside = (numbers >= 0) & (numbers < len(self._places))
            return np.where(inside, numbers, NO_CLASS)
        values, back = np.unique(numbers, return_inverse=True)
        known = {int(name): place for name, place in self._places.items()}
        places = np.array([known.get(int(value), NO_CLASS) for value in values], dtype=np.int32)
        return np.asarray(places[back.reshape(numbers.shape)])

    def _wide(self, array: Array) -> Array:
        """*array* as [n, C]; raises ValueError where it is not."""
        wide = array.reshape(len(array), -1)
        if wide.shape[1] != len(self._places):
            raise ValueError(f"{wide.shape[1]} scores for {len(self._places)} classes")
        return wide

    def _shares(self, scores: Array) -> Array:
        """Probabilities [n, C] that add up to 1."""
        if self._are_probabilities(scores, add_up=True):
            return np.clip(scores, 0.0, 1.0)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def _each(self, scores: Array) -> Array:
        """Probabilities, each by itself."""
        if self._are_probabilities(scores, add_up=False):
            return np.clip(scores, 0.0, 1.0)
        # The side of the curve that does not overflow, by symmetry.
        small = np.exp(-np.abs(scores))
        return np.where(scores >= 0, 1 / (1 + small), small / (1 + small))

    def _two(self, score: Array) -> Array:
        """Probabilities [n, 2] of the two classes in their order, of the positive one's *score*."""
        positive = self._each(score)
        two = [1 - positive, positive]
        return np.stack(two if self.meaning.positive == 1 else two[::-1], axis=1)

    def _are_probabilities(self, scores: Array, *, add_up: bool) -> bool:
        """Whether *scores* can be what they are taken for; once not, never again."""
        if self.meaning.scale == "probabilities":
            return True
        if self._logits:
            return False
        # A little rounding is forgiven.
        if scores.size and (scores.min() < -_NEAR or scores.max() > 1 + _NEAR):
            self._logits = True
            return False
        if not add_up:
            return True
        sums = scores.sum(axis=1)
        # A row of zeros was no number.
        return bool((np.abs(sums - 1) < _NEAR)[sums != 0].all())


def _flat(array: Array) -> Array:
    """*array* as [n]; raises ValueError where a row has more than one value."""
    if array.size != len(array):
        raise ValueError(f"{array.shape[1:]} values a row where there is to be one")
    return array.reshape(len(array))


def _is_whole(name: str) -> bool:
    return name.removeprefix("-").isdecimal() and name.isascii()
