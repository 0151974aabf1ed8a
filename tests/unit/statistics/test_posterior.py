# SPDX-License-Identifier: Apache-2.0
"""Intervals of averages cover what they say, with few classes and with many."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.statistics.classification import (
    Outcomes,
    average_scores,
    balanced_accuracy,
    kappa,
    matthews,
)
from gateway.statistics.confusion import ConfusionMatrix, Matrix
from gateway.statistics.posterior import Posterior


def truth(classes: int, right: float, *, skewed: bool) -> np.ndarray:
    """Shares of cells [C, C] of a classifier that is right with about that probability."""
    random = np.random.default_rng(classes)
    size = 1 / np.arange(1, classes + 1) ** 1.5 if skewed else np.ones(classes)
    cells = np.zeros((classes, classes))
    for place in range(classes):
        hit = float(np.clip(right + random.normal() * 0.03, 0.05, 0.995))
        cells[place] = (1 - hit) / (classes - 1)
        cells[place, place] = hit
    shares: np.ndarray = cells * (size / size.sum())[:, None]
    return shares


@pytest.mark.parametrize(
    ("classes", "right", "rows", "skewed"),
    [(2, 0.9, 100, False), (3, 0.8, 60, False), (10, 0.98, 500, False), (10, 0.9, 300, True),
     (30, 0.8, 1000, False)],
)  # fmt: skip
def test_coverage(classes: int, right: float, rows: int, skewed: bool) -> None:  # noqa: FBT001 - a case
    """250 simulated sets each; a plain Dirichlet with 1/2 a cell covers 0 of them at 10 classes."""
    cells = truth(classes, right, skewed=skewed)
    real = Matrix.of(np.round(cells * 1e9))
    wanted = {
        "f": float(average_scores(Outcomes.of(real), "macro").f),
        "recall": float(average_scores(Outcomes.of(real), "weighted").recall),
        "balanced_accuracy": balanced_accuracy(real),
        "matthews": matthews(real),
        "kappa": kappa(real),
    }
    random = np.random.default_rng(12)
    covered = dict.fromkeys(wanted, 0)
    for _ in range(250):
        counts = random.multinomial(rows, cells.ravel()).reshape(classes, classes)
        posterior = Posterior(Matrix.of(counts), random, draws=300)
        covered["f"] += wanted["f"] in posterior.average("f", "macro")
        covered["recall"] += wanted["recall"] in posterior.average("recall", "weighted")
        covered["balanced_accuracy"] += wanted["balanced_accuracy"] in posterior.figure(
            "balanced_accuracy"
        )
        covered["matthews"] += wanted["matthews"] in posterior.figure("matthews")
        covered["kappa"] += wanted["kappa"] in posterior.figure("kappa")

    assert all(count / 250 >= 0.89 for count in covered.values()), covered


def test_the_figure_is_inside_and_the_seed_decides() -> None:
    """The same rows give the same interval."""
    matrix = Matrix.of(np.asarray([[30, 3], [2, 40]]))
    intervals = [
        Posterior(matrix, np.random.default_rng(7)).average("f", "macro") for _ in range(2)
    ]

    assert intervals[0] == intervals[1]
    assert float(average_scores(Outcomes.of(matrix), "macro").f) in intervals[0]


def test_weights_widen() -> None:
    """A tenth of the rows that weigh ten are worth fewer rows."""
    random = np.random.default_rng(1)
    true = random.integers(0, 2, 400)
    said = np.where(random.random(400) < 0.9, true, 1 - true)
    even, uneven = ConfusionMatrix(), ConfusionMatrix()
    even.add(true, said)
    uneven.add(true, said, np.where(random.random(400) < 0.1, 10.0, 0.1))
    widths = []
    for state in (even, uneven):
        interval = Posterior(state.matrix(), np.random.default_rng(1)).figure("matthews")
        widths.append(interval.upper - interval.lower)

    assert widths[1] > 2 * widths[0]


def test_without_rows_anything_is_possible() -> None:
    """And with all rows right, one is."""
    empty = Posterior(Matrix.of(np.zeros((2, 2))), np.random.default_rng(1))
    perfect = Posterior(Matrix.of(np.diag([20, 20])), np.random.default_rng(1))

    assert empty.figure("kappa").lower == -1
    assert perfect.figure("balanced_accuracy").upper == 1.0
    assert 0.8 < perfect.figure("balanced_accuracy").lower < 1.0
