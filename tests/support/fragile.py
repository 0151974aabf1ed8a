# SPDX-License-Identifier: Apache-2.0
"""Fragile: a classifier that bytes break, by inputs and weights of very different widths.

One input is a thousand times as wide as the others and means nothing; the class is in the narrow
ones. A scale for the whole tensor leaves these less than one step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gateway.wire.tensor import Array

CLASSES: Final = 4
NARROW: Final = 8
WIDE: Final = 4000.0


def model() -> onnx.ModelProto:
    """Input `x` FP32 [rows, 9]; outputs `label` INT64 [rows], `probabilities` FP32 [rows, 4]."""
    weights = np.zeros((NARROW + 1, CLASSES), np.float32)
    weights[:NARROW] = np.repeat(np.eye(CLASSES, dtype=np.float32), NARROW // CLASSES, axis=0)
    # The wide input tells against all classes alike, so that floats take no notice of it.
    weights[NARROW] = 0.002
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weights"], ["logits"]),
            helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "fragile",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", NARROW + 1])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", CLASSES]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def rows(count: int) -> tuple[Array, Array]:
    """Inputs [*count*, 9] and true classes [*count*], nearly all of which the floats get right."""
    random = np.random.default_rng(4)
    labels = random.integers(0, CLASSES, count)
    narrow = random.normal(0, 0.3, (count, NARROW))
    for one in range(CLASSES):
        part = slice(one * NARROW // CLASSES, (one + 1) * NARROW // CLASSES)
        narrow[labels == one, part] += 2
    wide = random.uniform(-WIDE, WIDE, (count, 1))
    return np.concatenate([narrow, wide], axis=1).astype(np.float32), labels


def write(directory: Path, *, count: int = 900) -> tuple[Path, Path]:
    """The model as a repository directory, and its rows as an ``.npz`` file beside it."""
    place = directory / "fragile"
    (place / "1").mkdir(parents=True)
    (place / "1" / "model.onnx").write_bytes(model().SerializeToString())
    inputs, labels = rows(count)
    np.savez(directory / "fragile.npz", inputs=inputs, labels=labels)
    return place, directory / "fragile.npz"
