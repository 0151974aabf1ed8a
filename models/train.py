# SPDX-License-Identifier: Apache-2.0
"""Train the models that the quickstart serves, and write them as a model repository.

Run as `python models/train.py` (or `make models`); needs the packages of the `dev` extra.
Seeds, splits and file metadata are fixed, so that a second run writes the same bytes.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

SEED = 7
HELD_OUT = 0.25
PIXEL_SCALE = np.float32(0.0625)
DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# Old enough for any onnxruntime that this project supports, new enough for every operator used.
OPSET = 17
ML_OPSET = 3
IR_VERSION = 8


def digits() -> tuple[onnx.ModelProto, NDArray[np.float32], NDArray[np.int64], tuple[str, ...]]:
    """Train the digits perceptron on pixels scaled to 0..1.

    Returns the model, the held-out images as a client sends them (FP32 [450, 64], 0..16),
    their classes (INT64 [450]) and the class names.
    """
    data = load_digits()
    images = data.data.astype(np.float32)
    train, test, train_labels, test_labels = train_test_split(
        images, data.target, test_size=HELD_OUT, stratify=data.target, random_state=SEED
    )
    classifier = MLPClassifier(
        hidden_layer_sizes=(64,), alpha=1e-3, max_iter=1000, random_state=SEED
    )
    classifier.fit(train * PIXEL_SCALE, train_labels)
    return perceptron(classifier), test, test_labels.astype(np.int64), DIGIT_NAMES


def perceptron(classifier: MLPClassifier) -> onnx.ModelProto:
    """Write a fitted one-hidden-layer classifier as an ONNX graph of five nodes.

    A converter would add casts and class look-ups; classes are 0..n-1 here, so ArgMax is enough.
    """
    weights = {
        name: numpy_helper.from_array(np.ascontiguousarray(array, dtype=np.float32), name)
        for name, array in (
            ("hidden.weight", classifier.coefs_[0]),
            ("hidden.bias", classifier.intercepts_[0]),
            ("output.weight", classifier.coefs_[1]),
            ("output.bias", classifier.intercepts_[1]),
        )
    }
    nodes = [
        helper.make_node("Gemm", ["image", "hidden.weight", "hidden.bias"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "output.weight", "output.bias"], ["logits"]),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    inputs, classes = classifier.coefs_[0].shape[0], len(classifier.classes_)
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", inputs])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", classes]),
        ],
        list(weights.values()),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])


def breast_cancer() -> tuple[
    onnx.ModelProto, NDArray[np.float32], NDArray[np.int64], tuple[str, ...]
]:
    """Train the breast cancer gradient boosting.

    Returns the model, the held-out rows (FP32 [143, 30]), their classes (INT64 [143]) and the
    class names.
    """
    data = load_breast_cancer()
    rows = data.data.astype(np.float32)
    train, test, train_labels, test_labels = train_test_split(
        rows, data.target, test_size=HELD_OUT, stratify=data.target, random_state=SEED
    )
    # Chosen by five-fold cross-validation on the training rows alone.
    classifier = GradientBoostingClassifier(
        n_estimators=200, max_depth=2, max_features=6, subsample=0.5, random_state=SEED
    )
    classifier.fit(train, train_labels)
    model = to_onnx(
        classifier,
        name="breast-cancer",
        initial_types=[("features", FloatTensorType([None, rows.shape[1]]))],
        options={id(classifier): {"zipmap": False}},
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    rename(model, {"label": "diagnosis", "probabilities": "scores"})
    names = tuple(str(name) for name in data.target_names)
    return model, test, test_labels.astype(np.int64), names


def rename(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Rename outputs of the graph in place, wherever a node writes or reads them."""
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in model.graph.output:
        value.name = names.get(value.name, value.name)


def save(
    directory: Path,
    model: onnx.ModelProto,
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    names: tuple[str, ...],
) -> str:
    """Write version 1 of the model, its held-out rows and its class names; return the digest."""
    model.ir_version = IR_VERSION
    # Neither the tool that wrote the file nor its version may change the digest.
    model.producer_name = model.producer_version = model.domain = model.doc_string = ""
    model.model_version = 0
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    (directory / "1").mkdir(parents=True, exist_ok=True)
    (directory / "1" / "model.onnx").write_bytes(content)
    (directory / "labels.txt").write_text("".join(f"{name}\n" for name in names))
    np.savez(directory / "test.npz", inputs=inputs, labels=labels)
    return hashlib.sha256(content).hexdigest()


def main(repository: Path) -> None:
    """Train and write every model below *repository*; print their digests."""
    # One thread: the order of a parallel sum is not fixed, and neither are its last bits.
    with threadpool_limits(limits=1):
        for name, train in (("digits", digits), ("breast-cancer", breast_cancer)):
            print(f"{save(repository / name, *train())}  {name}/1/model.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
