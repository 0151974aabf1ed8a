# SPDX-License-Identifier: Apache-2.0
"""Tiny ONNX models, built on the spot, each for one trait that a test needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape: TypeAlias = Sequence[int | str | None] | None

ROWS_OF_TWO: Final = ("rows", 2)

# v2 datatype -> ONNX element type.
ELEMENT: Final[dict[str, int]] = {
    "BOOL": TensorProto.BOOL, "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32, "UINT64": TensorProto.UINT64, "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16, "INT32": TensorProto.INT32, "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16, "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE, "BYTES": TensorProto.STRING,
}  # fmt: skip


def _value(name: str, shape: Shape, datatype: str = "FP32") -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, ELEMENT[datatype], shape)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "test", inputs, outputs, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def identity(datatype: str = "FP32", shape: Shape = ROWS_OF_TWO) -> onnx.ModelProto:
    """One input, given back: y = x."""
    return _model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [_value("x", shape, datatype)],
        [_value("y", shape, datatype)],
    )


def times(factor: float) -> onnx.ModelProto:
    """Rows of one number: y = x * *factor*, FP32."""
    weight = numpy_helper.from_array(np.array(factor, np.float32), "factor")
    return _model(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [_value("x", ("rows", 1))],
        [_value("y", ("rows", 1))],
        [weight],
    )


def add(shape: Shape = ROWS_OF_TWO) -> onnx.ModelProto:
    """Two inputs of one shape: sum = a + b, FP32."""
    return _model(
        [helper.make_node("Add", ["a", "b"], ["sum"])],
        [_value("a", shape), _value("b", shape)],
        [_value("sum", shape)],
    )


def two_outputs() -> onnx.ModelProto:
    """Two outputs: scores = softmax(x) of three classes, FP32, and class = its highest, INT64."""
    return _model(
        [
            helper.make_node("Softmax", ["x"], ["scores"], axis=1),
            helper.make_node("ArgMax", ["x"], ["class"], axis=1, keepdims=0),
        ],
        [_value("x", ("rows", 3))],
        [_value("class", ("rows",), "INT64"), _value("scores", ("rows", 3))],
    )


def mixed() -> onnx.ModelProto:
    """BF16 and FP32 in, both and the FP32 as BYTES out."""
    return _model(
        [
            helper.make_node("Identity", ["bf16"], ["same.bf16"]),
            helper.make_node("Identity", ["fp32"], ["same.fp32"]),
            helper.make_node("Cast", ["fp32"], ["text"], to=ELEMENT["BYTES"]),
        ],
        [_value("bf16", ("rows",), "BF16"), _value("fp32", ("rows",))],
        [
            _value("same.bf16", ("rows",), "BF16"),
            _value("same.fp32", ("rows",)),
            _value("text", ("rows",), "BYTES"),
        ],
    )


def text_and_bf16(*, bf16_out: bool) -> onnx.ModelProto:
    """BYTES and BF16 in and BYTES out, beside the BF16 either as it is or as FP32."""
    out = "BF16" if bf16_out else "FP32"
    return _model(
        [
            helper.make_node("Identity", ["text"], ["same.text"]),
            helper.make_node("Cast", ["bf16"], ["number"], to=ELEMENT[out]),
        ],
        [_value("text", ("rows",), "BYTES"), _value("bf16", ("rows",), "BF16")],
        [_value("same.text", ("rows",), "BYTES"), _value("number", ("rows",), out)],
    )


def distinct() -> onnx.ModelProto:
    """A free first dimension that is no batch: y = the rows of x without repeats."""
    return _model(
        [helper.make_node("Unique", ["x"], ["y"], axis=0)],
        [_value("x", ROWS_OF_TWO)],
        [_value("y", ("any", 2))],
    )


def gather() -> onnx.ModelProto:
    """A table of four entries, y = table[index]: an index beyond it fails inside onnxruntime."""
    table = numpy_helper.from_array(np.arange(4, dtype=np.float32), "table")
    return _model(
        [helper.make_node("Gather", ["table", "index"], ["y"])],
        [_value("index", ("rows",), "INT64")],
        [_value("y", ("rows",))],
        [table],
    )


def centred() -> onnx.ModelProto:
    """Rows that know of each other: y = x less the mean of the batch."""
    return _model(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["y"]),
        ],
        [_value("x", ROWS_OF_TWO)],
        [_value("y", ROWS_OF_TWO)],
    )


def constant() -> onnx.ModelProto:
    """Rows that all give the same: y = x * 0."""
    return _model(
        [helper.make_node("Sub", ["x", "x"], ["y"])],
        [_value("x", ROWS_OF_TWO)],
        [_value("y", ROWS_OF_TWO)],
    )


def dynamically_quantised() -> onnx.ModelProto:
    """Y = x, with a scale that is found over the whole batch on the way."""
    return _model(
        [
            helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
        ],
        [_value("x", ROWS_OF_TWO)],
        [_value("y", ROWS_OF_TWO)],
    )


def sequence() -> onnx.ModelProto:
    """An output that is a sequence of tensors, which the protocol cannot carry."""
    return _model(
        [helper.make_node("SequenceConstruct", ["x"], ["y"])],
        [_value("x", ROWS_OF_TWO)],
        [helper.make_tensor_sequence_value_info("y", ELEMENT["FP32"], ROWS_OF_TWO)],
    )


def counting() -> onnx.ModelProto:
    """A request that says how long it takes, from nothing to for ever: y = x + *steps*, by ones.

    Ten million steps take seconds; a run can be terminated between any two of them.
    """
    one = numpy_helper.from_array(np.array(1, np.float32), "one")
    body = helper.make_graph(
        [
            helper.make_node("Add", ["value", "one"], ["more"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, None),
        ],
        [one],
    )
    return _model(
        [
            helper.make_node("Squeeze", ["steps"], ["trips"]),
            helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body),
        ],
        [_value("x", ("rows",)), _value("steps", (1,), "INT64")],
        [_value("y", ("rows",))],
    )


def with_external_weights(directory: Path) -> Path:
    """Save y = x + w with *w* in a file of its own; returns the .onnx file in *directory*."""
    weight = numpy_helper.from_array(np.arange(512, dtype=np.float32), "w")
    model = _model(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [_value("x", ("rows", 512))],
        [_value("y", ("rows", 512))],
        [weight],
    )
    file = directory / "model.onnx"
    onnx.save_model(
        model, file, save_as_external_data=True, location="weights.data", size_threshold=0
    )
    return file


def save(model: onnx.ModelProto, directory: Path, *, version: str = "1") -> Path:
    """Write *model* as a version of the repository *directory*; returns that directory."""
    (directory / version).mkdir(parents=True, exist_ok=True)
    (directory / version / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    return directory
