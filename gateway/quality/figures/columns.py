# SPDX-License-Identifier: Apache-2.0
"""Columns: what labelled rows and predictions become before they are counted.

Small batches are put together first, as each addition to a table has a price of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.quality.figures.cube import QUESTION_BITS
from gateway.statistics.arrays import Floats, Integers, Values
from gateway.statistics.delays import delay_bins
from gateway.wire.samples import FULL, NO_CLASS

if TYPE_CHECKING:
    from gateway.quality.figures.cohorts import Cohorts
    from gateway.quality.figures.spec import Spec
    from gateway.quality.joined import Joined
    from gateway.wire.samples import Samples

# A share of rows below this weighs no more than it: one lucky row must not outweigh all others.
LEAST_SHARE: Final = 1e-4
_KINDS: Final[dict[str, Any]] = {
    "classification": np.int64,
    "multilabel": np.uint64,
    "regression": np.float64,
}


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Labelled rows as columns [n]; *scores* [n, C] or None, *sign* 1 or -1."""

    key: Integers
    times: Floats
    cohort: Integers
    true: Values
    predicted: Values
    weight: Floats
    delay: Integers
    question: Integers
    stated: Floats
    scores: Values | None
    sign: Integers
    labelled: Floats

    def __len__(self) -> int:
        return len(self.key)

    def take(self, part: Values) -> Labelled:
        """The rows at *part*."""
        columns: dict[str, Any] = {}
        for each in fields(self):
            column = getattr(self, each.name)
            columns[each.name] = None if column is None else column[part]
        return Labelled(**columns)

    @property
    def counted(self) -> tuple[Values | None, ...]:
        """The columns that a cube takes, the cohort first."""
        return (
            self.cohort, self.true, self.predicted, self.weight, self.delay, self.question,
            self.stated, self.scores,
        )  # fmt: skip


def labelled_columns(batches: Sequence[Joined], spec: Spec, cohorts: Cohorts) -> Labelled:
    """All rows of *batches*, in their order."""
    kind = _KINDS[spec.task]
    pi = np.concatenate([one.pi for one in batches]).astype(np.float64)
    times = np.concatenate([one.times for one in batches])
    weight = np.concatenate([one.weight for one in batches]).astype(np.float64)
    true = np.concatenate([one.true for one in batches]).astype(kind)
    predicted = np.concatenate([one.predicted for one in batches]).astype(kind)
    if spec.task == "classification":
        # A class beyond those configured now was one of an older configuration.
        true[(true < 0) | (true >= spec.size)] = NO_CLASS
        predicted[(predicted < 0) | (predicted >= spec.size)] = NO_CLASS
    labelled = np.concatenate([one.labelled for one in batches])
    return Labelled(
        key=np.concatenate([one.key for one in batches]).astype(np.int64),
        times=times,
        cohort=_cohorts(batches, cohorts),
        true=true,
        predicted=predicted,
        weight=weight / np.maximum(pi, LEAST_SHARE),
        delay=delay_bins(labelled - times),
        question=_questions(batches),
        stated=np.concatenate([stated_of(one, spec) for one in batches]),
        scores=_all_scores(batches, spec),
        sign=np.concatenate([one.sign for one in batches]).astype(np.int64),
        labelled=labelled,
    )


def stream_columns(
    batches: Sequence[Samples], spec: Spec, cohorts: Cohorts
) -> tuple[Floats, tuple[Values | None, ...]]:
    """The times [n] of all predictions in *batches*, and the columns that a cube of them takes."""
    pi = np.concatenate([one.pi for one in batches]).astype(np.float64)
    if spec.task == "classification":
        places = np.concatenate([one.predicted for one in batches]).astype(np.int64)
        places[(places < 0) | (places >= spec.size)] = NO_CLASS
    else:
        places = np.full(len(pi), NO_CLASS, dtype=np.int64)
    return np.concatenate([one.times for one in batches]), (
        _cohorts(batches, cohorts),
        places,
        1 / np.maximum(pi, LEAST_SHARE),
        np.concatenate([stated_of(one, spec) for one in batches]),
        _all_scores(batches, spec),
    )


def _cohorts(batches: Sequence[Joined] | Sequence[Samples], cohorts: Cohorts) -> Integers:
    numbers = [
        cohorts.of_rows(one.endpoints, one.endpoint, one.slices, one.slice) for one in batches
    ]
    return np.concatenate(numbers)


def _questions(batches: Sequence[Joined]) -> Integers:
    """The upper bits of each question's digest, -1 for none."""
    digests = np.concatenate([one.question for one in batches]).astype(np.uint64)
    questions: Integers = (digests >> np.uint64(64 - QUESTION_BITS)).astype(np.int64)
    questions[digests == 0] = -1
    return questions


def _all_scores(batches: Sequence[Joined] | Sequence[Samples], spec: Spec) -> Values | None:
    """Scores of all classes in order, [n, C]; None where a batch has others or none."""
    found = []
    for one in batches:
        if one.scores is None or one.columns is not None or one.scores.shape[1:] != (spec.size,):
            return None
        found.append(one.scores)
    return np.concatenate(found)


def stated_of(rows: Joined | Samples, spec: Spec) -> Floats:
    """The probability that was given to what was predicted, [n]; nan where there is none."""
    nothing = np.full(len(rows), np.nan)
    scores = rows.scores
    if spec.task != "classification" or scores is None or not scores.size:
        return nothing
    said = rows.predicted.astype(np.int64)
    if rows.columns is None:
        if scores.shape[1] != spec.size:
            return nothing
        named = (said >= 0) & (said < spec.size)
        own = np.take_along_axis(scores, np.where(named, said, 0)[:, None], axis=1)[:, 0]
        return np.where(named, own / FULL, np.nan)
    there = rows.columns.astype(np.int64) == said[:, None]
    own = scores[np.arange(len(said)), there.argmax(axis=1)]
    return np.where(there.any(axis=1), own / FULL, np.nan)
