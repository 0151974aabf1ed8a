# SPDX-License-Identifier: Apache-2.0
"""Weights and clusters: unbiased means, and intervals as wide as they have to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.statistics.intervals import wilson
from gateway.statistics.sampling import (
    clustered_rows,
    effective_rows,
    hajek,
    post_stratified,
)


def test_equal_weights_are_rows() -> None:
    """One row of ten is worth few."""
    assert effective_rows(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_rows(np.asarray([10.0] + [1.0] * 10)) == pytest.approx(400 / 110)
    assert effective_rows(np.zeros(3)) == 0


def test_chosen_rows_give_the_mean_of_all_rows() -> None:
    """Rows of low confidence are kept more often: 1,500 streams, mean and coverage."""
    random = np.random.default_rng(1)
    covered, means = 0, []
    right: Any = None
    kept: Any = None
    probability: Any = None
    variance = 0.0
    for _ in range(1500):
        hard = random.random(1500) < 0.2
        right = random.random(1500) < np.where(hard, 0.6, 0.95)
        probability = np.where(hard, 0.8, 0.1)
        kept = random.random(1500) < probability
        mean, variance = hajek(right[kept], probability[kept])
        means.append(mean)
        covered += abs(mean - 0.88) <= 1.96 * np.sqrt(variance)

    assert np.mean(means) == pytest.approx(0.88, abs=0.003)
    assert 0.92 <= covered / 1500 <= 0.97
    of_stream = hajek(right[kept], probability[kept], of_this_stream=True)
    assert of_stream[1] < variance
    with pytest.raises(ValueError, match="selection probability"):
        hajek(np.ones(2), np.asarray([0.5, 0.0]))


def test_repeats_of_a_question_are_hardly_more_than_one_row() -> None:
    """600 streams of 60 questions asked 10 times each: rows alone cover far too rarely."""
    random = np.random.default_rng(2)
    covered = naive = 0
    for _ in range(600):
        right = np.repeat(random.random(60) < 0.8, 10)
        rows = clustered_rows(right, np.repeat(np.arange(60), 10))
        mean = right.mean()
        covered += 0.8 in wilson(mean * rows, rows)
        naive += 0.8 in wilson(mean * 600, 600)

    assert covered / 600 >= 0.92
    assert naive / 600 < 0.6


def test_clusters_of_one_row_are_rows() -> None:
    """And where every outcome is the same, the clusters count."""
    right = np.random.default_rng(3).random(500) < 0.7

    assert clustered_rows(right, np.arange(500)) == pytest.approx(500)
    assert clustered_rows(np.ones(20), np.repeat(np.arange(5), 4)) == 5
    assert clustered_rows(np.empty(0), np.empty(0)) == 0


def test_strata_undo_a_biased_choice_of_labels() -> None:
    """Wrong predictions of low confidence are labelled far more often."""
    random = np.random.default_rng(4)
    sure = random.random(20_000) < 0.7
    right = random.random(20_000) < np.where(sure, 0.95, 0.6)
    labelled = random.random(20_000) < np.where(sure, 0.02, 0.3)
    stream = {0: float((~sure).sum()), 1: float(sure.sum())}
    mean, variance = post_stratified(right[labelled], sure[labelled].astype(int), stream)

    assert right[labelled].mean() < 0.75
    assert mean == pytest.approx(right.mean(), abs=3 * np.sqrt(variance))
    with pytest.raises(ValueError, match="no stratum"):
        post_stratified(np.empty(0), np.empty(0), {0: 1.0})
