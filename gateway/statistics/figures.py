# SPDX-License-Identifier: Apache-2.0
"""Figures: every metric of a state, each as an estimate with its interval."""

from __future__ import annotations

from math import isnan
from typing import Final, get_args

import numpy as np

from gateway.statistics.classification import (
    Average,
    Outcomes,
    Scores,
    accuracy,
    average_scores,
    balanced_accuracy,
    class_scores,
    kappa,
    matthews,
    specificity,
)
from gateway.statistics.confusion import Matrix
from gateway.statistics.estimate import Estimate
from gateway.statistics.intervals import Interval, Method, f_interval
from gateway.statistics.multilabel import Multilabel
from gateway.statistics.posterior import DRAWS, Posterior
from gateway.statistics.regression import Regression

AVERAGES: Final[tuple[Average, ...]] = get_args(Average)
_SHARES: Final = (0.5, 0.9, 0.99)


def effective_of(matrix: Matrix) -> float:
    """(sum w)^2 / sum w^2 of all rows."""
    squares = float(matrix.squares.sum())
    return float(matrix.weights.sum()) ** 2 / squares if squares else 0.0


def matrix_figures(
    matrix: Matrix,
    random: np.random.Generator,
    *,
    level: float = 0.95,
    how: Method = "wilson",
    beta: float = 1.0,
    zero_division: float = 0.0,
    draws: int = DRAWS,
) -> dict[str, Estimate]:
    """Accuracy, balanced accuracy, Matthews' correlation, kappa, and the three averages.

    Averages are named ``macro_precision`` and so on, F with *beta* 1 ``macro_f1`` and with another
    one ``macro_f_beta``, which has no interval. Accuracy has an interval that holds always; *how*
    is that of its interval for one look. *zero_division* stands where a class has no rows.
    """
    rows, effective = matrix.rows, effective_of(matrix)
    found = {
        "accuracy": Estimate.share(
            accuracy(matrix), rows, effective, level=level, always=True, how=how
        )
    }
    posterior = Posterior(matrix, random, draws=draws)
    for name, value in (
        ("balanced_accuracy", balanced_accuracy(matrix)),
        ("matthews", matthews(matrix)),
        ("kappa", kappa(matrix)),
    ):
        interval = posterior.figure(name, level=level)  # type: ignore[arg-type]  # the three names
        found[name] = Estimate.of(value, interval, rows, method="dirichlet", effective=effective)
    counts = Outcomes.of(matrix)
    for average in AVERAGES:
        scores = average_scores(counts, average, zero_division=zero_division)
        for part, mean in (
            ("precision", scores.precision), ("recall", scores.recall), ("f", scores.f)
        ):  # fmt: skip
            found[f"{average}_{'f1' if part == 'f' else part}"] = Estimate.of(
                float(mean),
                posterior.average(part, average, level=level),  # type: ignore[arg-type]  # the three
                rows,
                method="dirichlet",
                effective=effective,
            )
        if beta != 1:
            f = average_scores(counts, average, beta=beta, zero_division=zero_division).f
            found[f"{average}_f_beta"] = _bare(float(f), rows, effective)
    return found


def class_figures(
    counts: Outcomes,
    *,
    level: float = 0.95,
    scale: float = 1.0,
    how: Method = "wilson",
    zero_division: float = 0.0,
) -> list[dict[str, Estimate]]:
    """Precision, recall, F1 and specificity of each class, in the order of *counts*.

    *scale* turns weights into effective rows.
    """
    scores = class_scores(counts, zero_division=zero_division)
    left_alone = specificity(counts)
    found = []
    for place in range(len(counts.true)):
        hit, said, true = (float(one[place]) for one in (counts.hit, counts.predicted, counts.true))
        f1 = Estimate.of(
            float(scores.f[place]),
            f_interval(hit, said, true, level=level, scale=scale, how=how),
            round(said + true - hit),
            method="jaccard",
            effective=(said + true - hit) * scale,
        )
        others = counts.all - true
        found.append(
            {
                "precision": _share(float(scores.precision[place]), said, scale, level, how),
                "recall": _share(float(scores.recall[place]), true, scale, level, how),
                "f1": f1,
                "specificity": _share(float(left_alone[place]), others, scale, level, how),
            }
        )
    return found


def _share(value: float, weight: float, scale: float, level: float, how: Method) -> Estimate:
    return Estimate.share(value, round(weight), weight * scale, level=level, how=how)


def multilabel_figures(
    state: Multilabel, *, level: float = 0.95, how: Method = "wilson", zero_division: float = 0.0
) -> dict[str, Estimate]:
    """Subset accuracy, Hamming loss, and the averages, of which those over rows are ``samples``.

    Only subset accuracy and the Hamming loss have an interval here: labels of a row depend on one
    another, and no formula knows how.
    """
    rows, effective = state.rows, state.effective
    found = {
        "subset_accuracy": Estimate.share(
            state.subset_accuracy(), rows, effective, level=level, always=True, how=how
        ),
        # Labels of a row may be right or wrong together, so that rows are what counts.
        "hamming_loss": Estimate.share(state.hamming_loss(), rows, effective, level=level, how=how),
    }
    counts = state.outcomes()
    averages: dict[str, Scores] = {
        average: average_scores(counts, average, zero_division=zero_division)
        for average in AVERAGES
    }
    averages["samples"] = state.samples(zero_division=zero_division)
    for average, scores in averages.items():
        for part, value in (
            ("precision", scores.precision), ("recall", scores.recall), ("f1", scores.f)
        ):  # fmt: skip
            found[f"{average}_{part}"] = _bare(float(value), rows, effective)
    return found


def regression_figures(state: Regression, *, level: float = 0.95) -> dict[str, Estimate]:
    """Errors of a regression; quantiles of |error| are within 1 % of their size."""
    rows, effective = state.rows, state.effective
    found = {}
    for name, (value, interval), method in (
        ("mae", state.mae(level=level), "normal"),
        ("rmse", state.rmse(level=level), "normal of the square"),
        ("bias", state.bias(level=level), "normal"),
        ("r2", state.r2(level=level), "delta"),
    ):
        found[name] = Estimate.of(value, interval, rows, method=method, effective=effective)
    for share in _SHARES:
        interval = state.errors.interval(share, level=level)
        found[f"error_p{share * 100:g}"] = Estimate.of(
            state.errors.quantile(share), interval, rows, method="order statistics",
            effective=effective,
        )  # fmt: skip
    for name, value in (
        ("explained_variance", state.explained_variance()),
        ("wape", state.wape()),
        ("smape", state.smape()),
    ):
        if not isnan(value):
            found[name] = _bare(value, rows, effective)
    return found


def _bare(value: float, rows: int, effective: float) -> Estimate:
    unknown = Interval(float("nan"), float("nan"))
    return Estimate.of(value, unknown, rows, method="none", effective=effective)
