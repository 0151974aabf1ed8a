# SPDX-License-Identifier: Apache-2.0
"""Sigmoid and threshold: beside scipy and scikit-learn, and what they refuse."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from scipy.special import expit as reference
from scipy.special import softmax as reference_softmax
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import FixedThresholdClassifier

from gateway.errors import BadAnswer
from gateway.steps import bind_outputs
from gateway.steps.probability import expit, softmax
from gateway.wire.tensor import Tensor
from tests.support.applying import applied, fault, singles
from tests.support.steps import gives, output_step


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_is_that_of_scipy(dtype: type[np.floating]) -> None:
    """Over the whole range, infinities and NaN included."""
    values = np.concatenate([np.linspace(-800, 800, 4001), [np.inf, -np.inf, np.nan, -0.0]])
    given = values.astype(dtype)

    np.testing.assert_allclose(expit(given), reference(given), rtol=1e-6, atol=1e-38)


def test_softmax_is_that_of_scipy() -> None:
    """Along any axis."""
    values = np.random.default_rng(1).normal(0, 30, (5, 4, 3))

    np.testing.assert_allclose(softmax(values, 1), reference_softmax(values, axis=1), atol=1e-15)


def test_sigmoid_with_a_name_leaves_the_scores() -> None:
    """The probabilities stand beside them."""
    made = applied("sigmoid", {"y": singles([[0, 1]])}, name="p")

    assert made["y"].tolist() == [[0, 1]]
    np.testing.assert_allclose(made["p"], [[0.5, 0.7310586]], atol=1e-7)


@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_a_binary_threshold_decides_as_scikit_learn(at: float) -> None:
    """FixedThresholdClassifier over the same probabilities."""
    rng = np.random.default_rng(2)
    features, classes = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    inner = DummyClassifier(strategy="stratified", random_state=0).fit(features, classes)
    chosen = FixedThresholdClassifier(
        inner, threshold=at, response_method="predict_proba", pos_label=1
    ).fit(features, classes)

    made = applied("threshold", {"y": inner.predict_proba(features)}, at=at, column=1)

    np.testing.assert_array_equal(made["y"], chosen.predict(features))


def test_a_multilabel_threshold_has_one_for_each_class() -> None:
    """What is exactly at its threshold is a yes, NaN is none."""
    made = applied(
        "threshold", {"y": singles([[0.6, 0.5, 0.9], [0.7, np.nan, 1]])}, at=[0.7, 0.5, 1]
    )

    assert made["y"].dtype == np.bool_
    assert made["y"].tolist() == [[False, True, False], [True, False, True]]


def test_thresholds_are_as_many_as_classes() -> None:
    """The message says how many there are of both."""
    assert fault(gives("FP32", -1, 3), "threshold", at=[0.5, 0.5]) == (
        "model 'm': postprocess[0] threshold: 'at' has 2 thresholds, but output 'y' [-1, 3] has 3 "
        "classes"
    )
    assert "no column 3: 'y' has 3 classes" in fault(
        gives("FP32", -1, 3), "threshold", at=0.5, column=3
    )


def test_classes_that_came_are_counted_where_the_model_leaves_them_open() -> None:
    """A free dimension is known with the answer only."""
    kernel = bind_outputs(gives("FP32", -1, -1), [output_step("threshold", at=[0.5, 0.5])])

    with pytest.raises(BadAnswer, match="output 'y': 3 classes came, threshold needs 2"):
        kernel((Tensor.of("y", np.zeros((1, 3), np.float32)),))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"at": float("nan")}, "finite"),
        ({"at": []}, "finite"),
        ({"at": [0.5], "column": 0}, "one decision"),
        ({"at": 0.5, "column": -1}, ">= 0"),
    ],
)
def test_threshold_refuses_what_decides_nothing(fields: dict[str, object], says: str) -> None:
    """At the start."""
    with pytest.raises(msgspec.ValidationError, match=says):
        output_step("threshold", **fields)
