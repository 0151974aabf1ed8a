# SPDX-License-Identifier: Apache-2.0
"""Questions: repeats of one question are right or wrong together, and count as what they are worth.

A uniform part of all questions is followed, chosen by their keyed digests, so that parts of two
stretches of time are parts of the same questions and merge. Up to the limit it is all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.statistics.arrays import Floats

# Columns of a question: rows, then sums of w, w y, w y^2, w^2.
QUESTION_WIDTH: Final = 5
# Columns of rows that are a question each: rows, then sums of w, w y, w y^2, w^2, w^2 y, w^2 y^2.
ALONE_WIDTH: Final = 7


@dataclass(frozen=True, slots=True)
class Clustered:
    """What clusters say: how many rows they are *worth*, and the *mean* of each question once.

    *questions* is how many different ones there are, *followed* of how many the mean is taken.
    """

    worth: float
    mean: float
    questions: float
    followed: float


def clustered(questions: Floats, alone: Floats, *, share: float) -> Clustered:
    """From sums of *questions* [q, QUESTION_WIDTH], *share* of all, and of rows *alone*.

    *alone* [ALONE_WIDTH] are rows whose question nobody knows; each is one of its own. The worth is
    that of `sampling.clustered_rows`: spread over the linearised variance of the mean, and never
    more than Kish's number.
    """
    n, w, wy, wyy, ww, wwy, wwyy = alone.tolist()
    kept = questions[questions[:, 0] > 0]
    weights, sums = kept[:, 1], kept[:, 2]
    total = w + float(weights.sum()) / share
    if total <= 0:
        return Clustered(0.0, float("nan"), 0.0, 0.0)
    mean = (wy + float(sums.sum()) / share) / total
    squares = ww + float(kept[:, 4].sum()) / share
    kish = total**2 / squares if squares > 0 else 0.0
    within = sums - mean * weights
    variance = (wwyy - 2 * mean * wwy + mean**2 * ww) + float(within @ within) / share
    spread = (wyy + float(kept[:, 3].sum()) / share) / total - mean**2
    tiny = 1e-12 * max(1.0, mean**2)
    if spread <= tiny or variance <= tiny:
        # Without variance the weights of the clusters are all there is to go by.
        worth = total**2 / max(ww + float(weights @ weights) / share, 1e-300)
    else:
        worth = spread * total**2 / variance
    count = n + len(kept) / share
    answers = np.divide(sums, weights, out=np.zeros(len(kept)), where=weights > 0)
    each = (wy / w if w > 0 else 0.0) * n + float(answers.sum()) / share
    return Clustered(min(worth, kish), each / count if count else float("nan"), count,
                     n + len(kept))  # fmt: skip
