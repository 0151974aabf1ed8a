# SPDX-License-Identifier: Apache-2.0
"""Score: every metric of a view, by task."""

from __future__ import annotations

from typing import Final

import numpy as np

from gateway.quality.figures.answer import Baseline, Confusion
from gateway.quality.figures.layouts import CONFIDENCES
from gateway.quality.figures.many import (
    MOST_DENSE,
    PARTS,
    Scores,
    bare,
    classes_of,
    many_classes,
)
from gateway.quality.figures.matrices import matrix_of, sets_of
from gateway.quality.figures.query import Query
from gateway.quality.figures.spec import MOST_CURVES
from gateway.quality.figures.view import View
from gateway.statistics.classification import (
    Outcomes,
    average_scores,
    balanced_accuracy,
    best_constant,
    class_scores,
)
from gateway.statistics.classifier import area_figures, loss_figures, rank_figures
from gateway.statistics.confusion import Matrix
from gateway.statistics.estimate import Estimate
from gateway.statistics.figures import (
    AVERAGES,
    class_figures,
    effective_of,
    matrix_figures,
    multilabel_figures,
    regression_figures,
)
from gateway.statistics.posterior import DRAWS
from gateway.statistics.probability import Calibration, Losses
from gateway.statistics.ranking import Ranks, ScoreHistogram
from gateway.statistics.regression import Regression
from gateway.statistics.sums import Sums

# Draws behind intervals of averages: so many cells in all keep an answer within milliseconds.
_CELLS: Final = 250_000
_MOST_CELLS: Final = 4096


def scores_of(view: View, query: Query) -> Scores:
    """Every figure of *view*; raises ValueError for an average that the task has not."""
    if view.spec.task == "regression":
        return _regression(view, query)
    if view.spec.task == "multilabel":
        return _multilabel(view, query)
    return _classification(view, query)


def _classification(view: View, query: Query) -> Scores:
    spec, level = view.spec, query.level or view.spec.level
    average = query.average or ("binary" if spec.binary else "macro")
    if average == "samples" or (average == "binary" and not spec.binary):
        there = ", ".join([*(["binary"] if spec.binary else []), *AVERAGES])
        raise ValueError(f"average '{average}': this model has {there}")
    if spec.size > MOST_DENSE:
        return many_classes(view, query, average)
    matrix = matrix_of(view)
    cells = max(len(matrix.classes) ** 2, 1)
    figures = matrix_figures(
        matrix, np.random.default_rng(0), level=level, how=query.ci, beta=query.beta,
        zero_division=query.zero_division, draws=min(DRAWS, _CELLS // cells),
    )  # fmt: skip
    averages: dict[str, dict[str, Estimate]] = {
        how: {part: figures.pop(f"{how}_{part}") for part in (*PARTS, "f_beta")
              if f"{how}_{part}" in figures}
        for how in AVERAGES
    }  # fmt: skip
    counts = Outcomes.of(matrix)
    scale = effective_of(matrix) / counts.all if counts.all else 1.0
    if spec.binary:
        pair = class_figures(
            counts, level=level, scale=scale, how=query.ci, zero_division=query.zero_division
        )
        own = dict(pair[spec.meant])
        figures["specificity"] = own.pop("specificity")
        if query.beta != 1:
            f = class_scores(counts, beta=query.beta, zero_division=query.zero_division).f
            own["f_beta"] = bare(float(f[spec.meant]), view)
        averages["binary"] = own
    figures |= averages[average]
    best, share = best_constant(matrix)
    scored, notes = _scored(view, level, query)
    classes, more = classes_of(view, query, counts, scale)
    return Scores(
        main="accuracy",
        figures={**figures, **scored},
        average=average,
        averages=averages,
        classes=classes,
        confusion=_confusion(matrix),
        baseline=None if best is None else Baseline(str(best), share),
        baselines=_constant_figures(matrix, average, view, query),
        notes=[*notes, *more],
    )


def _scored(view: View, level: float, query: Query) -> tuple[dict[str, Estimate], list[str]]:
    """What scores add, and what is missing."""
    spec, sums = view.spec, view.labelled
    ranks = Ranks.of({"ranks": sums["ranks"]})
    rows = round(float(sums.total("ranks")[0]))
    if not rows:
        if not view.rows:
            return {}, []
        return {}, ["no row has scores of all classes: no areas, top-k, losses or calibration"]
    found = rank_figures(ranks, spec.size, rows, level=level, how=query.ci)
    notes = []
    if spec.curves:
        found |= _areas(view, rows, level)
    else:
        notes.append(f"areas under curves are kept for up to {MOST_CURVES} classes")
    losses = Losses.of({"rows": sums["losses"]}, half=spec.binary)
    # Bins of the calibration error, of those of confidence: count, weight, stated, came true.
    calibration = Calibration.of({"bins": _coarser(sums["confidence"], 15)}, bins=15)
    found |= loss_figures(losses, calibration, rows, ranks.effective, level=level)
    return found, notes


def _areas(view: View, rows: int, level: float) -> dict[str, Estimate]:
    spec, curves = view.spec, view.labelled["curves"]
    table = Sums(4)
    table.keys, table.table = curves.keys, curves.table.copy()
    # Intervals go by the number of rows: by what they are worth.
    table.table[:, :2] *= view.effective / view.rows if view.rows else 1.0
    histogram = ScoreHistogram.of({"bins": table}, columns=spec.curves, bins=spec.bins)
    return area_figures(histogram, spec.curves, rows, level=level)


def _coarser(sums: Sums, bins: int) -> Sums:
    coarse = Sums(4)
    keys = sums.keys // (CONFIDENCES // bins)
    for place in np.unique(keys):
        part = sums.table[keys == place, :4].sum(axis=0)
        coarse.keys = np.append(coarse.keys, place)
        coarse.table = np.vstack((coarse.table, part))
    return coarse


def _confusion(matrix: Matrix) -> Confusion:
    true, predicted = np.nonzero(matrix.counts)
    counts = matrix.counts[true, predicted]
    order = np.argsort(-counts, kind="stable")
    kept = order[:_MOST_CELLS]
    cells = [
        (int(true[one]), int(predicted[one]), int(counts[one]),
         float(matrix.weights[true[one], predicted[one]]))
        for one in kept
    ]  # fmt: skip
    return Confusion([str(each) for each in matrix.classes], cells, len(order) - len(kept))


def _constant_figures(matrix: Matrix, average: str, view: View, query: Query) -> dict[str, float]:
    """The figures of always saying the class that is true most often."""
    true = matrix.weights.sum(axis=1)
    if not true.sum():
        return {}
    constant = np.zeros_like(matrix.weights)
    constant[:, int(true.argmax())] = true
    same = Matrix(matrix.classes, matrix.listed, constant.astype(np.int64), constant, constant)
    counts = Outcomes.of(same)
    if average == "binary":
        each = class_scores(counts, zero_division=query.zero_division)
        parts = [float(one[view.spec.meant]) for one in (each.precision, each.recall, each.f)]
    else:
        mean = average_scores(counts, average, zero_division=query.zero_division)  # type: ignore[arg-type]  # checked
        parts = [float(one) for one in (mean.precision, mean.recall, mean.f)]
    return {
        "accuracy": float(true.max() / true.sum()),
        "balanced_accuracy": balanced_accuracy(same),
        "matthews": 0.0,
        "kappa": 0.0,
        "roc_auc": 0.5,
        **dict(zip(PARTS, parts, strict=True)),
    }


def _multilabel(view: View, query: Query) -> Scores:
    spec, level = view.spec, query.level or view.spec.level
    average = query.average or "macro"
    if average == "binary":
        raise ValueError(f"average 'binary': this model has {', '.join((*AVERAGES, 'samples'))}")
    state = sets_of(view)
    figures = multilabel_figures(
        state, level=level, how=query.ci, zero_division=query.zero_division
    )
    averages = {
        how: {part: figures.pop(f"{how}_{part}") for part in PARTS}
        for how in (*AVERAGES, "samples")
    }
    figures |= averages[average]
    counts = state.outcomes()
    scale = state.effective / counts.all if counts.all else 1.0
    classes, notes = classes_of(view, query, counts, scale)
    if spec.curves and len(view.labelled["curves"].keys):
        figures |= _areas(view, view.rows, level)
    if query.beta != 1:
        notes.append("beta is for classes; of sets of labels F1 alone is kept")
    wrong = float(np.minimum(counts.true, counts.all - counts.true).sum())
    return Scores(
        main="subset_accuracy",
        figures=figures,
        average=average,
        averages=averages,
        classes=classes,
        baselines={"hamming_loss": wrong / (counts.all * spec.size)} if counts.all else {},
        notes=notes,
    )


def _regression(view: View, query: Query) -> Scores:
    if query.average:
        raise ValueError(f"average '{query.average}': a regression has no classes to average over")
    errors = view.numbers or Regression()
    figures = regression_figures(errors, level=query.level or view.spec.level)
    return Scores(
        main="mae",
        figures=figures,
        baselines={"rmse": errors.spread(), "r2": 0.0, "explained_variance": 0.0},
    )
