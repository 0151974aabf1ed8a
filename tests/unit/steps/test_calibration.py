# SPDX-License-Identifier: Apache-2.0
"""Calibrate: equal to scikit-learn's CalibratedClassifierCV, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.special import softmax as reference_softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB

from gateway.steps import digest
from tests.support.applying import applied, fault
from tests.support.steps import gives, output_step

if TYPE_CHECKING:
    from pathlib import Path


def entry(calibrator: Any, method: str) -> dict[str, Any]:
    """What the documentation says to write of one of scikit-learn's calibrators."""
    if method == "sigmoid":
        return {"a": calibrator.a_, "b": calibrator.b_}
    return {
        "x": calibrator.X_thresholds_.tolist(),
        "y": calibrator.y_thresholds_.tolist(),
    }


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("load", [load_breast_cancer, load_digits])
def test_a_fit_from_a_file_is_applied_as_scikit_learn_does(
    tmp_path: Path, method: str, load: Any
) -> None:
    """For two classes and for ten, on rows that neither fit has seen."""
    features, classes = load(return_X_y=True)
    third = len(features) // 3
    inner = GaussianNB(var_smoothing=1e-3).fit(features[:third], classes[:third])
    fitted = CalibratedClassifierCV(FrozenEstimator(inner), method=method).fit(
        features[third : 2 * third], classes[third : 2 * third]
    )
    calibrators = fitted.calibrated_classifiers_[0].calibrators
    file = tmp_path / "calibration.json"
    file.write_text(
        json.dumps({"method": method, "classes": [entry(c, method) for c in calibrators]})
    )
    rest = features[2 * third :]

    made = applied("calibrate", {"y": inner.predict_proba(rest)}, file=str(file))

    np.testing.assert_allclose(made["y"], fitted.predict_proba(rest), atol=1e-6)
    assert not np.allclose(made["y"], inner.predict_proba(rest), atol=0.01)


def test_no_class_at_all_becomes_all_classes_alike(tmp_path: Path) -> None:
    """As scikit-learn does where every calibrator says 0."""
    file = tmp_path / "c.json"
    zero = {"x": [0, 1], "y": [0, 0]}
    file.write_text(json.dumps({"method": "isotonic", "classes": [zero] * 4}))

    made = applied("calibrate", {"y": np.full((1, 4), 0.25)}, file=str(file))

    assert made["y"].tolist() == [[0.25] * 4]


def test_one_score_a_row_is_the_second_classes(tmp_path: Path) -> None:
    """A model with one probability has one calibrator."""
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"method": "sigmoid", "classes": [{"a": -2, "b": 1}]}))

    made = applied("calibrate", {"y": np.array([[0.5], [1.0]])}, file=str(file))

    np.testing.assert_allclose(made["y"], [[0.5], [1 / (1 + np.exp(-1))]])


@pytest.mark.parametrize("given", ["logits", "probabilities"])
def test_a_temperature_divides_logits(given: str) -> None:
    """Probabilities have theirs in their logarithms."""
    logits = np.random.default_rng(3).normal(0, 4, (7, 5))
    sent = logits if given == "logits" else np.exp(log_softmax(logits, axis=1))

    made = applied("calibrate", {"y": sent}, temperature=2.5, given=given)

    np.testing.assert_allclose(made["y"], reference_softmax(logits / 2.5, axis=1), atol=1e-12)


def test_the_digest_follows_the_file(tmp_path: Path) -> None:
    """Another fit never meets the answers of the one before."""
    file = tmp_path / "c.json"
    digests = set()
    for temperature in (1.0, 2.0):
        file.write_text(json.dumps({"method": "temperature", "temperature": temperature}))
        digests.add(digest([], [output_step("calibrate", file=str(file))]))

    assert len(digests) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read: No such file or directory"),
        ("{", "truncated"),
        ('{"method": "beta"}', "Invalid value 'beta'"),
        ('{"method": "sigmoid", "classes": [{"a": 1}]}', "missing required field `b`"),
        ('{"method": "sigmoid", "classes": []}', "length >= 1"),
        ('{"method": "isotonic", "classes": [{"x": [0, 1], "y": [0]}]}', "2 points and y has 1"),
        ('{"method": "isotonic", "classes": [{"x": [1, 0], "y": [0, 1]}]}', "x must rise"),
        ('{"method": "temperature", "temperature": 0}', "> 0.0"),
        (
            json.dumps({"method": "sigmoid", "classes": [{"a": 1, "b": 0}] * 3}),
            "has 3 classes, but output 'y' [-1, 6] has 6",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path: Path, text: str | None, says: str) -> None:
    """With what is wrong in it."""
    file = tmp_path / "calibration.json"
    if text is not None:
        file.write_text(text)

    message = fault(gives("FP32", -1, 6), "calibrate", file=str(file))

    assert str(file) in message
    assert says in message


@pytest.mark.parametrize("fields", [{}, {"temperature": 1, "file": "f"}, {"temperature": -1}])
def test_calibrate_wants_one_source(fields: dict[str, Any]) -> None:
    """A temperature or a file."""
    with pytest.raises(ValueError, match=r"one of them|> 0"):
        output_step("calibrate", **fields)
