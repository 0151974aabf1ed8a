# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph as a step: exported scikit-learn pipelines, and graphs that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skl2onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from gateway.errors import ConfigError, InvalidRequest
from gateway.steps import bind_inputs, client_info, digest
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Tensor
from tests.support.steps import input_step, model, takes
from tests.support.texts import CORPUS, number_of_text, scaler, written

if TYPE_CHECKING:
    from gateway.wire.tensor import Array


def exported(pipeline: Any, path: Path, inputs: list[tuple[str, Any]]) -> Any:
    """The step for *pipeline*, converted to a graph at *path*."""
    graph = skl2onnx.to_onnx(pipeline, initial_types=inputs, target_opset=17)
    path.write_bytes(graph.SerializeToString())
    return input_step("onnx", file=str(path))


def test_a_pipeline_of_numbers_and_words_is_that_of_scikit_learn(tmp_path: Path) -> None:
    """Imputed, scaled and one-hot, with missing numbers and unknown words."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(40, 12, (300, 2)).astype(np.float32)
    numbers[rng.random((300, 2)) < 0.2] = np.nan
    words = rng.choice(["clerk", "cook", "nurse"], (300, 1)).astype(object)
    pipeline = ColumnTransformer([
        ("n", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), [0, 1]),
        ("w", OneHotEncoder(handle_unknown="ignore"), [2]),
    ])  # fmt: skip
    pipeline.fit(np.concatenate([numbers.astype(object), words], axis=1))
    step = exported(
        pipeline,
        tmp_path / "p.onnx",
        [("n", FloatTensorType([None, 2])), ("w", StringTensorType([None, 1]))],
    )
    info = takes("FP32", -1, 5)
    assert [(s.name, s.datatype, s.shape) for s in client_info(info, [step]).inputs] == [
        ("n", "FP32", (-1, 2)), ("w", "BYTES", (-1, 1)),
    ]  # fmt: skip
    words[::7] = "pilot"
    expected = pipeline.transform(np.concatenate([numbers.astype(object), words], axis=1))
    (made,) = bind_inputs(info, [step])((Tensor.of("n", numbers), Tensor.of("w", words)))
    np.testing.assert_allclose(made.array(), expected.astype(np.float32), atol=1e-6)


def test_a_text_pipeline_is_that_of_scikit_learn(tmp_path: Path) -> None:
    """From raw text to TF-IDF weights."""
    # onnxruntime lowers letters by a locale that not every machine has.
    vectorizer = TfidfVectorizer(token_pattern="[a-zA-Z]+", lowercase=False).fit(CORPUS)
    step = exported(vectorizer, tmp_path / "t.onnx", [("text", StringTensorType([None, 1]))])
    texts = ["the queue of the gateway", "requests and answers", "nothing of it"]
    (made,) = bind_inputs(takes("FP32", -1, -1), [step])(
        (Tensor.of("text", np.array(texts, object)[:, None]),)
    )
    np.testing.assert_allclose(made.array(), vectorizer.transform(texts).toarray(), atol=1e-6)


def run(step: Any, info: ModelInfo, *tensors: Tensor) -> list[Array]:
    """What *step* makes of *tensors*."""
    return [tensor.array() for tensor in bind_inputs(info, [step])(tensors)]


def test_outputs_may_be_called_otherwise() -> None:
    """By an option, or where there is one only."""
    other = model(inputs=(TensorSpec("pixels", "FP32", (-1, 6)), TensorSpec("n", "FP32", (-1,))))
    step = input_step("onnx", file=scaler(), outputs={"x": "pixels"})
    assert [spec.name for spec in client_info(other, [step]).inputs] == ["raw", "n"]
    values = np.arange(12, dtype=np.float32).reshape(2, 6)
    n = Tensor.of("n", np.ones(2, np.float32))
    made, same = run(step, other, Tensor.of("raw", values), n)
    np.testing.assert_array_equal(made, 2 * values - 1)
    assert same.tolist() == [1, 1]
    only = model(inputs=(TensorSpec("pixels", "FP32", (-1, 6)),))
    (made,) = run(input_step("onnx", file=scaler()), only, Tensor.of("raw", values))
    np.testing.assert_array_equal(made, 2 * values - 1)


@pytest.mark.parametrize(
    ("fields", "info", "part"),
    [
        ({"file": "none.onnx"}, takes("FP32", -1, 6), "'none.onnx' cannot be read"),
        ({"file": written("no.onnx", b"\x08\x01x")}, takes("FP32", -1, 6), "not a graph"),
        ({"file": scaler()}, takes("FP32", -1, 7), r"gives FP32\[-1, 6\] as 'x'"),
        ({"file": scaler()}, takes("FP64", -1, 6), r"is FP64\[-1, 6\] behind it"),
        ({"file": scaler(), "outputs": {"y": "x"}}, takes("FP32", -1, 6), "no output 'y'"),
        ({"file": scaler(), "outputs": {"x": "z"}}, takes("FP32", -1, 6), "no input 'z'"),
        (
            {"file": scaler()},
            model(inputs=(TensorSpec("a", "FP32", (-1, 6)), TensorSpec("b", "FP32", (-1, 6)))),
            "say with 'outputs'",
        ),
        (
            {"file": scaler()},
            model(inputs=(TensorSpec("x", "FP32", (-1, 6)), TensorSpec("raw", "FP32", (-1,)))),
            "have an input 'raw' each",
        ),
    ],
)
def test_what_does_not_fit_is_said_at_the_start(
    fields: dict[str, Any], info: ModelInfo, part: str
) -> None:
    """With what the graph gives and what the model takes."""
    with pytest.raises(ConfigError, match=part):
        client_info(info, [input_step("onnx", **fields)])


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (np.zeros((2, 7), np.float32), r"FP32\[2, 7\] given, FP32\[-1, 6\] expected"),
        (np.zeros((2, 6), np.float64), r"FP64\[2, 6\] given"),
        (np.zeros(6, np.float32), r"FP32\[6\] given"),
    ],
)
def test_an_input_of_another_type_is_refused(given: Array, part: str) -> None:
    """Before the graph sees it."""
    with pytest.raises(InvalidRequest, match=part):
        run(input_step("onnx", file=scaler()), takes("FP32", -1, 6), Tensor.of("raw", given))


def test_a_value_that_the_graph_does_not_take_is_the_clients_fault() -> None:
    """A word that is no number, or no text at all, says so."""
    step, info = input_step("onnx", file=number_of_text(), max_bytes=50), takes("FP32", -1, 1)
    (made,) = run(step, info, Tensor.of("number", np.array([["3.5"], ["-1"]], object)))
    assert made.tolist() == [[3.5], [-1]]
    for element, part in (
        (b"pear", "the preprocessing graph failed"),
        (b"\xed\xa0\x80", "row 1: not UTF-8"),
        (b"1" * 51, "row 1: the text has 51 bytes"),
    ):
        with pytest.raises(InvalidRequest, match=part):
            run(step, info, Tensor.of("number", np.array([[b"1"], [element]], object)))
    with pytest.raises(InvalidRequest, match="input 'number' is missing"):
        run(step, info)


def test_the_digest_is_of_what_the_file_holds(tmp_path: Path) -> None:
    """Another graph under the same name is another step."""
    path = tmp_path / "g.onnx"
    digests = set()
    for source in (scaler(), number_of_text()):
        path.write_bytes(Path(source).read_bytes())
        digests.add(digest([input_step("onnx", file=str(path))]))
    assert len(digests) == 2
