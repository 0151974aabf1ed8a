# SPDX-License-Identifier: Apache-2.0
"""Questions: clusters are worth what the formula over arrays says."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.statistics.arrays import Floats, Values
from gateway.statistics.questions import ALONE_WIDTH, clustered
from gateway.statistics.sampling import clustered_rows


def tables(outcomes: Values, weights: Values, clusters: Values) -> tuple[Floats, Floats]:
    """The sums of questions, and those of rows alone (cluster -1)."""
    alone = clusters < 0
    columns = np.column_stack(
        (np.ones(len(outcomes)), weights, weights * outcomes, weights * outcomes**2, weights**2)
    )
    names = np.unique(clusters[~alone])
    questions = np.asarray([columns[clusters == name].sum(axis=0) for name in names])
    w, y = weights[alone], outcomes[alone]
    sums = [alone.sum(), w.sum(), w @ y, w @ y**2, w @ w, w**2 @ y, w**2 @ y**2]
    return questions.reshape(-1, 5), np.asarray(sums, dtype=float)


@pytest.mark.parametrize("seed", range(5))
def test_the_worth_is_that_of_all_rows(seed: int) -> None:
    """Sums of clusters and of single rows say the same as the rows themselves."""
    random = np.random.default_rng(seed)
    clusters = np.where(random.random(300) < 0.3, -1, random.integers(0, 20, 300))
    outcomes = (random.random(300) < 0.7).astype(float)
    weights = random.choice([1.0, 2.0], 300)
    found = clustered(*tables(outcomes, weights, clusters), share=1.0)
    single = clusters.copy()
    single[clusters < 0] = 1000 + np.arange((clusters < 0).sum())
    assert found.worth == pytest.approx(clustered_rows(outcomes, single, weights))
    assert found.questions == len(np.unique(single))


def test_a_part_of_the_questions_stands_for_all() -> None:
    """A tenth of the questions gives the worth of all, give or take."""
    random = np.random.default_rng(9)
    clusters = random.integers(0, 20_000, 60_000)
    right = random.random(20_000) < 0.8
    outcomes, weights = right[clusters].astype(float), np.ones(60_000)
    followed = clusters < 2000
    part, _ = tables(outcomes[followed], weights[followed], clusters[followed])
    found = clustered(part, np.zeros(ALONE_WIDTH), share=0.1)
    whole = clustered_rows(outcomes, clusters, weights)
    assert found.worth == pytest.approx(whole, rel=0.2)
    assert found.questions == pytest.approx(20_000, rel=0.1)
