# SPDX-License-Identifier: Apache-2.0
"""The models in the repository: what they predict, and how they are written."""

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from models import train
from tests.support.tree import ROOT

MODELS = ROOT / "models"


def session(content: bytes) -> ort.InferenceSession:
    """Load a model as onnxruntime does in a worker."""
    return ort.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("name", "factor", "signature", "least"),
    [
        ("digits", 0.0625, ("image", "label", "probabilities"), 0.98),
        ("breast-cancer", 1.0, ("features", "diagnosis", "scores"), 0.97),
    ],
)
def test_a_shipped_model_is_right_about_rows_it_never_saw(
    name: str, factor: float, signature: tuple[str, ...], least: float
) -> None:
    """Accuracy on the held-out quarter stays at what the models' page claims."""
    model = session((MODELS / name / "1" / "model.onnx").read_bytes())
    held_out = np.load(MODELS / name / "test.npz")
    names = (*(value.name for value in model.get_inputs()), *(o.name for o in model.get_outputs()))
    assert names == signature
    assert held_out["inputs"].dtype == np.float32
    assert held_out["labels"].dtype == np.int64

    labels, scores = model.run(None, {names[0]: held_out["inputs"] * np.float32(factor)})

    assert labels.dtype == np.int64
    assert np.array_equal(labels, scores.argmax(axis=1))
    assert np.mean(labels == held_out["labels"]) >= least
    classes = (MODELS / name / "labels.txt").read_text().splitlines()
    assert len(classes) == scores.shape[1]


@pytest.mark.parametrize("name", ["digits", "breast-cancer"])
def test_the_models_page_states_the_digest_of_the_file(name: str) -> None:
    """A model that was trained anew changes its page too."""
    digest = hashlib.sha256((MODELS / name / "1" / "model.onnx").read_bytes()).hexdigest()
    assert digest in (MODELS / "README.md").read_text()


@pytest.fixture
def fitted() -> tuple[MLPClassifier, NDArray[np.float32]]:
    """A perceptron that learned a little, and rows to ask it about."""
    rng = np.random.default_rng(3)
    rows = rng.random((200, 5), dtype=np.float32)
    classifier = MLPClassifier(hidden_layer_sizes=(8,), max_iter=20, random_state=3)
    with pytest.warns(ConvergenceWarning):
        classifier.fit(rows, np.digitize(rows.sum(axis=1), [2.2, 2.8]))
    return classifier, rows


def test_the_graph_of_a_perceptron_answers_as_the_fitted_classifier(
    fitted: tuple[MLPClassifier, NDArray[np.float32]],
) -> None:
    """Writing a classifier as ONNX changes neither its classes nor its probabilities."""
    classifier, rows = fitted
    model = session(train.perceptron(classifier).SerializeToString())

    labels, probabilities = model.run(None, {"image": rows})

    assert np.array_equal(labels, classifier.predict(rows))
    np.testing.assert_allclose(probabilities, classifier.predict_proba(rows), atol=1e-5)


def test_a_second_run_writes_the_same_bytes(
    fitted: tuple[MLPClassifier, NDArray[np.float32]], tmp_path: Path
) -> None:
    """Neither a tool's version nor the time of day is in what the script writes."""
    classifier, rows = fitted
    for directory in ("first", "second"):
        train.save(
            tmp_path / directory,
            train.perceptron(classifier),
            rows,
            np.zeros(len(rows), dtype=np.int64),
            ("low", "middle", "high"),
        )
    for name in ("1/model.onnx", "test.npz", "labels.txt"):
        first, second = (tmp_path / directory / name for directory in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
    assert b"skl2onnx" not in (tmp_path / "first" / "1" / "model.onnx").read_bytes()


def test_the_boosted_trees_are_written_alike_twice(tmp_path: Path) -> None:
    """Training with fixed seeds and writing with fixed metadata repeats to the byte."""
    first = train.save(tmp_path / "first", *train.breast_cancer())
    second = train.save(tmp_path / "second", *train.breast_cancer())
    assert first == second
    assert "diagnosis" in {
        value.name
        for value in session((tmp_path / "first/1/model.onnx").read_bytes()).get_outputs()
    }
