# SPDX-License-Identifier: Apache-2.0
"""Unlabelled: what is said of all predictions, of which few have a label or none."""

from __future__ import annotations

from math import nan, sqrt
from typing import Final

import numpy as np

from gateway.quality.figures.answer import Calibrated, Coverage, Powered
from gateway.quality.figures.layouts import CONFIDENCES, DECILES, STRATA
from gateway.quality.figures.matrices import OTHER
from gateway.quality.figures.view import View
from gateway.statistics import prediction_powered, unlabelled
from gateway.statistics.arrays import Floats, Integers
from gateway.statistics.classification import average_scores, class_scores
from gateway.statistics.estimate import Estimate
from gateway.statistics.intervals import Interval
from gateway.statistics.prediction_powered import PredictionPowered
from gateway.statistics.sampling import post_stratified_sums
from gateway.statistics.special import z_value
from gateway.statistics.sums import Sums
from gateway.statistics.unlabelled import ExpectedQuality

# A calibration that learnt from fewer earlier labels would be noise.
FEWEST_EARLIER: Final = 200
_MOST_CLASSES: Final = 256


def without_labels(view: View, *, level: float) -> Calibrated | None:
    """The accuracy that the probabilities promise, calibrated with earlier labels if that helps."""
    sums = view.stream["confidence"]
    if view.spec.task != "classification" or not len(sums.keys):
        return None
    stream, own = _by_bin(sums), _by_bin(view.labelled["confidence"])
    rows = int(stream[:, 0].sum())
    total = float(stream[:, 1].sum())
    learned, shift = _calibration(view, own)
    # Of the rows of a bin, what they state on average, and what that is worth.
    stated = np.divide(stream[:, 2], stream[:, 1], out=np.zeros(CONFIDENCES),
                       where=stream[:, 1] > 0)  # fmt: skip
    meant = stated if shift is None else shift
    value = float(stream[:, 1] @ meant) / total
    squares = float(stream[:, 5].sum())
    kish = total**2 / squares if squares else 0.0
    # The variance of a Poisson binomial, over rows worth so many.
    spread = float(stream[:, 1] @ (meant * (1 - meant))) / total
    half = z_value(level) * sqrt(max(spread, 0.0) / kish) if kish else nan
    labelled = float(own[:, 1].sum())
    promised = came = None
    if labelled > 0:
        mean = np.divide(own[:, 2], own[:, 1], out=np.zeros(CONFIDENCES), where=own[:, 1] > 0)
        promised = float(own[:, 1] @ (mean if shift is None else shift)) / labelled
        came = float(own[:, 3].sum()) / labelled
    return Calibrated(
        value=value,
        lower=max(0.0, value - half),
        upper=min(1.0, value + half),
        rows=rows,
        promised=promised,
        came_true=came,
        learned_from=learned,
        f1=_expected_f1(view),
        assumes=unlabelled.ASSUMES,
    )


def _calibration(view: View, own: Floats) -> tuple[int, Floats | None]:
    """How many earlier labels were learnt from, and what each bin is worth; None: as it states.

    It is taken only where it brings the labelled rows of the window nearer to what they were.
    """
    if view.earlier is None:
        return 0, None
    before = _by_bin(view.earlier["confidence"])
    count = int(before[:, 0].sum())
    if count < FEWEST_EARLIER:
        return 0, None
    levels = _growing(before[:, 1], before[:, 3])
    if own[:, 1].sum() > 0:
        raw = float(np.abs(own[:, 2] - own[:, 3]).sum())
        better = float(np.abs(own[:, 1] * levels - own[:, 3]).sum())
        if better >= raw:
            return 0, None
    return count, levels


def _growing(weights: Floats, hits: Floats) -> Floats:
    """The growing levels [bins] that fit shares of *hits* best: pool adjacent violators."""
    there = np.flatnonzero(weights > 0)
    blocks: list[tuple[float, float, int]] = []
    for place in there.tolist():
        block = (float(hits[place] / weights[place]), float(weights[place]), 1)
        while blocks and blocks[-1][0] >= block[0]:
            before = blocks.pop()
            weight = before[1] + block[1]
            mean = (before[0] * before[1] + block[0] * block[1]) / weight
            block = (mean, weight, before[2] + block[2])
        blocks.append(block)
    levels = np.repeat([one[0] for one in blocks], [one[2] for one in blocks])
    return np.asarray(np.interp(np.arange(CONFIDENCES), there, levels))


def _expected_f1(view: View) -> float | None:
    """The F1 that the probabilities promise as they are: of the class meant, or the macro one."""
    table = view.stream.tables.get("expected")
    if table is None or not len(table.keys):
        return None
    rows = Sums(3)
    total = view.stream.total("strata")
    rows.keys = np.zeros(1, dtype=np.int64)
    rows.table = np.asarray([[total[0], 0.0, 0.0]])
    expected = ExpectedQuality.of({"classes": table, "rows": rows}, classes=view.spec.size)
    counts = expected.outcomes()
    if view.spec.binary:
        return float(class_scores(counts).f[view.spec.meant])
    return float(average_scores(counts, "macro").f)


def powered(view: View, *, level: float) -> Powered | None:
    """Prediction-powered inference: the labels, sharpened by confidence on all other rows."""
    if view.spec.task != "classification":
        return None
    own, stream = view.labelled.total("confidence"), view.stream.total("confidence")
    if not own[1] or not stream[1]:
        return None
    # Weighted sums, as if so many rows of equal weight stood for them.
    kept = float(own[1]) / max(view.effective, 1e-9)
    others = stream[1] - own[1]
    kish = float(stream[1] ** 2 / stream[5]) * others / stream[1] if stream[5] else 0.0
    labelled, rest = Sums(6), Sums(3)
    n, wf, wy, wff, wfy = (float(own[place]) for place in (1, 2, 3, 4, 5))
    labelled.keys = rest.keys = np.zeros(1, dtype=np.int64)
    labelled.table = np.asarray([[n, wy, wf, wy, wff, wfy]]) / kept
    if others > 0 and kish >= 1:
        left = np.asarray([[others, max(0.0, stream[2] - wf), max(0.0, stream[3] - wff)]])
        rest.table = left / (others / kish)
    else:
        rest.keys = np.empty(0, dtype=np.int64)
    state = PredictionPowered.of({"labelled": labelled, "others": rest})
    value, interval, share = state.mean(level=level)
    return Powered(
        value=value,
        lower=interval.lower,
        upper=interval.upper,
        labels=int(own[0]),
        others=max(0, int(stream[0] - own[0])),
        share=share,
        assumes=prediction_powered.ASSUMES,
    )


def post_stratified(view: View, *, level: float) -> Estimate | None:
    """The accuracy over the stream's own mix of predicted classes and confidences."""
    if view.spec.task != "classification":
        return None
    size = (view.spec.size + 1) * STRATA
    stream, own = view.stream["strata"], view.labelled["strata"]
    if not len(stream.keys) or not len(own.keys):
        return None
    # Weights of labelled rows as rows: within a stratum they differ little.
    scale = view.effective / max(float(own.table[:, 1].sum()), 1e-300)
    value, variance, covered = post_stratified_sums(
        _spread(stream.keys, stream.table[:, 1], size),
        _spread(own.keys, own.table[:, 1], size) * scale,
        _spread(own.keys, own.table[:, 2], size) * scale,
    )
    if not covered:
        return None
    half = z_value(level) * sqrt(variance)
    interval = Interval(max(0.0, value - half), min(1.0, value + half))
    return Estimate.of(value, interval, view.rows, method="post-stratified",
                       effective=view.effective)  # fmt: skip


def coverage(view: View) -> tuple[list[Coverage], list[Coverage]]:
    """Label coverage by predicted class, and by tenth of confidence."""
    if view.spec.task != "classification":
        return [], []
    size = view.spec.size + 1
    stream, own = (
        _spread(each.keys, each.table[:, 0], size * STRATA).reshape(size, STRATA)
        for each in (view.stream["strata"], view.labelled["strata"])
    )
    names = [OTHER, *view.spec.classes]
    by_class = [
        _covered(names[place], float(stream[place].sum()), float(own[place].sum()))
        for place in [*range(1, size), 0][:_MOST_CLASSES]
        if stream[place].any() or own[place].any() or place > 0
    ]
    by_confidence = [
        _covered(
            f"{place / DECILES:.1f}-{(place + 1) / DECILES:.1f}",
            float(stream[:, place].sum()), float(own[:, place].sum()),
        )
        for place in range(DECILES)
    ]  # fmt: skip
    return by_class, by_confidence


def _covered(name: str, predictions: float, labelled: float) -> Coverage:
    share = min(1.0, labelled / predictions) if predictions else None
    return Coverage(name, predictions, labelled, share)


def _by_bin(sums: Sums) -> Floats:
    table = np.zeros((CONFIDENCES, sums.table.shape[1]))
    table[sums.keys] = sums.table
    return table


def _spread(keys: Integers, values: Floats, size: int) -> Floats:
    spread = np.zeros(size)
    spread[keys] = values
    return spread
