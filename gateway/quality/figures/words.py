# SPDX-License-Identifier: Apache-2.0
"""Words: what figures mean, in plain sentences."""

from __future__ import annotations

from math import isfinite, isnan
from typing import Final

from gateway.quality.figures.answer import Target
from gateway.quality.figures.many import Scores
from gateway.quality.figures.view import View
from gateway.statistics.estimate import Estimate, accuracy_sentence

_MEANINGS: Final = {
    "accuracy": "the share of answers that are right",
    "balanced_accuracy": "the mean over classes of the share of their rows that are found",
    "matthews": "the correlation of answers and labels, 0 for guessing and 1 for all right",
    "kappa": "the agreement beyond chance, 0 for guessing and 1 for all right",
    "precision": "of what was said to be of a class, the share that is",
    "recall": "of what is of a class, the share that was said to be",
    "f1": "the harmonic mean of precision and recall",
    "f_beta": "the mean of precision and recall in which recall counts beta times as much",
    "specificity": "of what is not of the class, the share that was not said to be",
    "subset_accuracy": "the share of rows with every label right",
    "hamming_loss": "the share of single labels that are wrong",
    "roc_auc": "how often a row of the class has a higher score than one of another",
    "average_precision": "the mean precision over all thresholds",
    "brier": "the mean squared error of the probabilities",
    "log_loss": "the mean of -ln of the probability that the true class was given",
    "ece": "how far stated probabilities are from what came true, on average",
    "mae": "the mean absolute error",
    "rmse": "the root of the mean squared error",
    "bias": "the mean of what was said less what is true",
    "r2": "the part of the spread of the truth that is explained",
    "explained_variance": "the same, a constant bias forgiven",
    "wape": "the absolute error in parts of the size of the truth",
    "smape": "the error in parts of both sizes, from 0 to 2",
}


def sentence_of(
    name: str,
    one: Estimate,
    *,
    level: float,
    baseline: float | None = None,
    target: Target | None = None,
) -> str:
    """What the figure *name* says."""
    if name.startswith("top_"):
        meaning = f"the share of rows whose true class is among the {name.split('_')[1]} likeliest"
    elif name.startswith("error_p"):
        meaning = f"{name.removeprefix('error_p')} % of all errors are no larger than this"
    else:
        meaning = _MEANINGS.get(name, name)
    if not one.n or isnan(one.value):
        return f"Not known yet: {meaning}."
    said = f"{one.value:.4g} over {one.n} labelled rows: {meaning}"
    if isfinite(one.lower) and isfinite(one.upper):
        said += f"; with {level:.0%} confidence between {one.lower:.4g} and {one.upper:.4g}"
    said += "."
    if not one.sufficient(level):
        said += " Too few rows for a verdict."
    if baseline is not None:
        said += f" Always saying the same would give {baseline:.4g}."
    if target is not None:
        said += _of_target(one, target)
    return said


def _of_target(one: Estimate, target: Target) -> str:
    if target.lower_bound is not None:
        if target.outside_bounds:
            return f" That is below the {target.lower_bound:g} that is wanted."
        if one.lower >= target.lower_bound:
            return f" That is at least the {target.lower_bound:g} that is wanted."
        return f" Whether it is at least the {target.lower_bound:g} wanted, these rows leave open."
    if target.outside_bounds:
        return f" That is above the {target.upper_bound:g} that is allowed."
    return f" At most {target.upper_bound:g} is allowed."


def whole_sentence(view: View, scores: Scores, *, level: float) -> str:
    """What the first figure says, and how far it may be trusted."""
    first = scores.figures[scores.main]
    if scores.main == "mae":
        said = sentence_of("mae", first, level=level)
    else:
        best = scores.baseline
        said = accuracy_sentence(
            first,
            level=level,
            constant=None if best is None else best.label,
            constant_accuracy=0.0 if best is None else best.accuracy,
        )
    made = float(view.stream.total("strata")[0])
    if made and view.rows:
        said += f" {min(1.0, view.rows / made):.1%} of the window's predictions have a label."
    if view.rows and not view.delays.mature and not isnan(view.delays.p95):
        said += (
            f" Most labels come within {_time(view.delays.p95)}, and many of these predictions are "
            "younger than that: the figures may still move."
        )
    return said


def _time(seconds: float) -> str:
    for size, unit in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds * 1e3:.0f} ms"
