# SPDX-License-Identifier: Apache-2.0
"""Merging: what the answers to several views become."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import gmean

from gateway.steps.merging import Given, Merge, agreeing, confidence, merged_scores

LOGITS = np.random.default_rng(6).normal(0, 3, (5, 4, 3))
PROBABILITIES = softmax(LOGITS, axis=-1)


@pytest.mark.parametrize("given", ["probabilities", "logits"])
@pytest.mark.parametrize("merge", ["mean", "logits", "median", "vote"])
def test_the_merged_probabilities_do_not_depend_on_how_they_are_given(
    given: Given, merge: Merge
) -> None:
    """Logits stay logits, whose softmax is what is meant."""
    sent = PROBABILITIES if given == "probabilities" else LOGITS
    merged = merged_scores(sent, given=given, merge=merge)
    probabilities = merged if given == "probabilities" else softmax(merged, axis=-1)
    middle = np.median(PROBABILITIES, axis=0)
    if given == "logits":
        middle = softmax(np.median(LOGITS, axis=0), axis=-1)
    geometric = gmean(PROBABILITIES, axis=0)
    expected = {
        "mean": PROBABILITIES.mean(axis=0),
        "logits": geometric / geometric.sum(-1, keepdims=True),
        "median": middle / middle.sum(-1, keepdims=True),
        "vote": np.stack([np.bincount(row, minlength=3) / 5 for row in PROBABILITIES.argmax(-1).T]),
    }[merge]

    np.testing.assert_allclose(probabilities, expected, atol=1e-8)


@pytest.mark.parametrize(("merge", "expected"), [("mean", [3.0]), ("median", [2.0])])
def test_values_have_a_mean_or_a_median(merge: Merge, expected: list[float]) -> None:
    """Of any shape."""
    merged = merged_scores(np.array([[1.0], [2.0], [6.0]]), given="values", merge=merge)
    assert merged.tolist() == expected


def test_one_view_that_rules_a_class_out_does_not_decide() -> None:
    """The logarithm of 0 is not taken."""
    merged = merged_scores(
        np.array([[[0.0, 1.0]], [[0.5, 0.5]]]), given="probabilities", merge="logits"
    )
    assert np.isfinite(merged).all()


def test_the_agreeing_view_is_the_first_that_names_the_class() -> None:
    """The first one where none does."""
    scores = np.array([[[0.9, 0.1, 0.0]], [[0.1, 0.0, 0.9]], [[0.0, 0.1, 0.9]]])

    assert agreeing(scores, np.array([[0.0, 0.0, 1.0]])).tolist() == [1]
    assert agreeing(scores, np.array([[0.0, 1.0, 0.0]])).tolist() == [0]


def test_confidence_is_the_highest_probability() -> None:
    """Of logits too."""
    expected = PROBABILITIES[0].max(-1)
    np.testing.assert_allclose(confidence(PROBABILITIES[0], given="probabilities"), expected)
    np.testing.assert_allclose(confidence(LOGITS[0], given="logits"), expected)
