# SPDX-License-Identifier: Apache-2.0
"""A stream of labelled rows: calibrated scores, a prediction, and a label drawn from the scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.statistics.arrays import Floats, Integers


@dataclass(frozen=True, slots=True)
class Stream:
    """Arrays of [n] rows: scores [n, C], predicted and true classes, and seconds of prediction."""

    scores: Floats
    predicted: Integers
    true: Integers
    times: Floats

    @classmethod
    def of(cls, rows: int, classes: int, *, seed: int) -> Stream:
        """*rows* over a day, of a classifier with *classes* that knows what it knows."""
        random = np.random.default_rng(seed)
        scores = random.dirichlet(np.full(classes, 0.1), rows)
        true = (scores.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1).clip(0, classes - 1)
        times = np.sort(random.uniform(0, 86400, rows)) + 1_700_000_000
        return cls(scores, scores.argmax(axis=1), true.astype(np.int64), times)
