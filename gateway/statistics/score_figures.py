# SPDX-License-Identifier: Apache-2.0
"""Score figures: what the scores of a whole set say beyond the class, exactly, from arrays.

For a stream see `classifier`, which keeps histograms and bounds what they hide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.statistics.arrays import Floats, Integers, Values, weights_of
from gateway.statistics.classification import mean_defined
from gateway.statistics.estimate import Estimate
from gateway.statistics.intervals import Interval
from gateway.statistics.probability import Calibration, Losses
from gateway.statistics.ranking import Ranks, average_precision, delong, hanley_mcneil, roc_auc
from gateway.statistics.sampling import effective_rows

UNKNOWN = Interval(float("nan"), float("nan"))
# Rows of a softmax in half precision add up to 1 within this.
_SLACK = 2e-3
_TOP = 5


def are_probabilities(scores: Floats) -> bool:
    """Whether each row of *scores* [n, C] is a distribution."""
    if not scores.size or scores.min() < 0 or scores.max() > 1:
        return False
    return bool((np.abs(scores.sum(axis=1) - 1) <= _SLACK).all())


@dataclass(frozen=True, slots=True)
class ClassArea:
    """Area under the ROC curve and average precision of one class against the rest."""

    roc_auc: Estimate
    average_precision: float


def class_areas(
    column: Integers, scores: Floats, weights: Values | None, *, level: float = 0.95
) -> list[ClassArea]:
    """The areas of each class; *column* [n] is that of the true class in *scores* [n, C].

    Intervals are DeLong's, with weights Hanley's and McNeil's over effective rows.
    """
    found = []
    for place in range(scores.shape[1]):
        truth, own = column == place, scores[:, place]
        if weights is None:
            value, interval = delong(truth, own, level=level)
            method = "delong"
        else:
            value = roc_auc(truth, own, weights)
            ones, zeros = effective_rows(weights[truth]), effective_rows(weights[~truth])
            interval, method = hanley_mcneil(value, ones, zeros, level=level), "hanley-mcneil"
        area = Estimate.of(value, interval, len(column), method=method)
        found.append(ClassArea(area, average_precision(truth, own, weights)))
    return found


def score_figures(
    column: Integers, scores: Floats, weights: Values | None, *, level: float = 0.95
) -> tuple[dict[str, Estimate], list[ClassArea]]:
    """All figures of *scores* [n, C], and the areas of each class.

    *column* [n] is the column of the true class. Two classes have the curve of the second one; more
    have the plain mean and the mean by true rows, as in scikit-learn's one-versus-rest, over the
    classes that have both sides. Losses and calibration stand where rows are probabilities.
    """
    rows, size = scores.shape
    weight = weights_of(weights, rows)
    effective = effective_rows(weight)
    areas = class_areas(column, scores, weights, level=level)
    found: dict[str, Estimate] = {}
    if size == 2:
        found["roc_auc"] = areas[1].roc_auc
        found["average_precision"] = _alone(areas[1].average_precision, rows, effective)
    else:
        true = np.bincount(column, weights=weight, minlength=size).astype(np.float64)
        averages: dict[str, Floats | None] = {"macro": None, "weighted": true}
        for how, by in averages.items():
            mean = [
                mean_defined(np.asarray([getattr(one.roc_auc, end) for one in areas]), by)
                for end in ("value", "lower", "upper")
            ]
            # As if the errors of all classes moved together: no narrower than they are.
            found[f"{how}_roc_auc"] = Estimate.of(
                mean[0], Interval(mean[1], mean[2]), rows, method="mean of classes",
                effective=effective,
            )  # fmt: skip
            precisions = np.asarray([one.average_precision for one in areas])
            found[f"{how}_average_precision"] = _alone(
                mean_defined(precisions, by), rows, effective
            )
    ranks = Ranks()
    ranks.add(column, scores, weight)
    for k in range(2, min(_TOP, size - 1) + 1):
        found[f"top_{k}_accuracy"] = Estimate.share(ranks.top(k), rows, effective, level=level)
    if are_probabilities(scores):
        losses, calibration = Losses(half=size == 2), Calibration()
        losses.add(column, scores, weight)
        calibration.add(column == scores.argmax(axis=1), scores.max(axis=1), weight)
        for name, (value, interval) in (
            ("brier", losses.brier(level=level)),
            ("log_loss", losses.log_loss(level=level)),
        ):
            found[name] = Estimate.of(value, interval, rows, method="normal", effective=effective)
        found["ece"] = _alone(calibration.ece(), rows, effective)
    return found, areas


def _alone(value: float, rows: int, effective: float) -> Estimate:
    return Estimate.of(value, UNKNOWN, rows, method="none", effective=effective)
