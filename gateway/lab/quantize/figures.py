# SPDX-License-Identifier: Apache-2.0
"""Figures: how near the outputs of a changed model are to those of the original."""

from __future__ import annotations

from math import inf, log10, nan, sqrt
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gateway.lab.answers import predicted_of, scores_of
from gateway.lab.gate import Answers

if TYPE_CHECKING:
    from gateway.lab.answers import Prediction
    from gateway.wire.tensor import Array


class Closeness(msgspec.Struct, frozen=True, kw_only=True):
    """All float outputs together, of *rows* rows.

    *sqnr_db* is the signal to quantisation noise ratio, 20 log10(|x| / |x - y|), infinite where
    nothing changed; *cosine* that of the angle between them; *agreement* the share of rows with the
    same prediction.
    """

    rows: int
    sqnr_db: float
    cosine: float
    agreement: float


def closeness(
    before: dict[str, Array], after: dict[str, Array], first: Answers, second: Answers
) -> Closeness:
    """Of outputs by name, and of what they predict; NaN where no output is of floats."""
    names = [name for name, array in before.items() if array.dtype.kind == "f"]
    rows = len(first.predicted)
    same = np.asarray(first.predicted == second.predicted)
    agreement = float((same.all(axis=1) if same.ndim == 2 else same).mean())
    if not names:
        return Closeness(rows=rows, sqnr_db=nan, cosine=nan, agreement=agreement)
    one = np.concatenate([before[name].ravel().astype(np.float64) for name in names])
    two = np.concatenate([after[name].ravel().astype(np.float64) for name in names])
    signal, noise = float(one @ one), float((one - two) @ (one - two))
    lengths = sqrt(signal) * sqrt(float(two @ two))
    return Closeness(
        rows=rows,
        sqnr_db=inf if not noise else 10 * log10(signal / noise) if signal else -inf,
        cosine=float(one @ two) / lengths if lengths else nan,
        agreement=agreement,
    )


def answers_of(outputs: dict[str, Array], prediction: Prediction) -> Answers:
    """What *outputs* by name predict; raises LabError where they are not what was described."""
    rows = len(next(iter(outputs.values())))
    said = prediction.output.name
    scored = prediction.scores.name if prediction.scores is not None else said
    return Answers(
        predicted_of(_as_sent(outputs[said]), prediction, rows),
        scores_of(outputs[scored], prediction, rows),
    )


def _as_sent(array: Array) -> Array:
    """Text as it comes over the wire, in bytes."""
    if array.dtype.kind not in "OU":
        return array
    made = np.empty(array.shape, object)
    made[:] = [each if isinstance(each, bytes) else str(each).encode() for each in array.tolist()]
    return made
