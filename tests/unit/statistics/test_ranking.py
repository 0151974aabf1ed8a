# SPDX-License-Identifier: Apache-2.0
"""Areas from histograms: the exact one is within the bound, whatever the scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.statistics.ranking import (
    Ranks,
    ScoreHistogram,
    average_precision,
    delong,
    hanley_mcneil,
    roc_auc,
)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 200),
    st.sampled_from([4, 32, 2048]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_the_exact_area_is_within_the_bound(
    seed: int,
    n: int,
    bins: int,
    weighted: bool,  # noqa: FBT001 - a case
    probabilities: bool,  # noqa: FBT001 - a case
) -> None:
    """Random scores, piled up at the ends, with ties and weights, in few bins and in many."""
    random = np.random.default_rng(seed)
    truth = random.random(n) < random.uniform(0.05, 0.95)
    truth[:2] = True, False
    scores = random.beta(0.3, 0.3, n).round(random.integers(1, 9))
    if not probabilities:
        scores = (scores - 0.5) * 10.0 ** random.integers(-3, 6)
    weights = random.uniform(0.1, 5, n) if weighted else np.ones(n)
    histogram = ScoreHistogram(bins=bins, probabilities=probabilities)
    histogram.add(truth[:, None], scores[:, None], weights)

    area, exact = histogram.roc_auc(), roc_auc(truth, scores, weights)
    assert area.lower - 1e-12 <= exact <= area.upper + 1e-12
    step, exact = histogram.average_precision(), average_precision(truth, scores, weights)
    assert step.lower - 1e-12 <= exact <= step.upper + 1e-12
    assert step.lower <= step.value <= step.upper


def test_many_bins_are_nearly_exact() -> None:
    """10,000 rows of a usual classifier: the bound itself is below 1/1,000."""
    random = np.random.default_rng(1)
    truth = random.random(10_000) < 0.3
    scores = 1 / (1 + np.exp(-random.normal(np.where(truth, 1.5, -1.5), 2)))
    histogram = ScoreHistogram()
    histogram.add(truth[:, None], scores[:, None])
    area = histogram.roc_auc()

    assert area.upper - area.lower < 0.002
    assert area.value == pytest.approx(roc_auc(truth, scores), abs=1e-3)
    assert sum(histogram.shares().values()) == 10_000


def test_each_column_is_its_own_question() -> None:
    """One histogram for all classes of a model."""
    random = np.random.default_rng(2)
    truth = np.eye(3, dtype=bool)[random.integers(0, 3, 500)]
    scores = random.dirichlet(np.ones(3), 500)
    together = ScoreHistogram(columns=3)
    together.add(truth, scores)
    for column in range(3):
        alone = ScoreHistogram()
        alone.add(truth[:, column : column + 1], scores[:, column : column + 1])
        assert together.roc_auc(column) == alone.roc_auc()


def test_intervals_of_an_area_cover() -> None:
    """1,000 simulated sets of 40 positives and 80 negatives."""
    random = np.random.default_rng(6)
    truth = np.arange(120) < 40
    real = 0.8413447460685429  # of two normals whose means are sqrt(2) apart
    by_delong = by_hanley = 0
    for _ in range(1000):
        scores = random.normal(np.where(truth, 2**0.5, 0.0), 1)
        area, interval = delong(truth, scores)
        by_delong += real in interval
        by_hanley += real in hanley_mcneil(area, 40, 80)

    assert 0.92 <= by_delong / 1000 <= 0.98
    assert 0.92 <= by_hanley / 1000 <= 0.99


def test_one_side_alone_has_no_area() -> None:
    """Nothing is above nothing, and the interval says that all is possible."""
    histogram = ScoreHistogram()
    histogram.add(np.ones((3, 1)), np.full((3, 1), 0.5))

    assert np.isnan(histogram.roc_auc().value)
    assert histogram.roc_interval().lower == 0
    assert np.isnan(roc_auc(np.ones(3), np.ones(3)))
    assert delong(np.asarray([True, False]), np.asarray([1.0, 0.0]))[1].lower == 0


def test_top_k_reaches_one() -> None:
    """Each row's true class is somewhere."""
    ranks = Ranks()
    ranks.add(np.asarray([0, 1, 2]), np.asarray([[0.5, 0.3, 0.2]] * 3))

    assert [round(ranks.top(k), 3) for k in (1, 2, 3)] == [0.333, 0.667, 1.0]
    assert np.isnan(Ranks().top(1))
