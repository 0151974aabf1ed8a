# SPDX-License-Identifier: Apache-2.0
"""Build the compute-bound model: convolutions that cost about 8 ms a row on one recent core."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SEED = 11
SHAPE = (3, 224, 224)
CLASSES = 10
CHANNELS = 32
# Convolutions of 32 channels on 112 x 112, 116 million multiplications each.
LAYERS = 8


def build(repository: Path) -> Path:
    """Write the model to *repository*/1/model.onnx and give that path.

    Input `image` FP32 [-1, 3, 224, 224]; outputs `label` INT64 [-1] and `probabilities`
    FP32 [-1, 10]. The weights are random but fixed: cost, not accuracy, is what it is for.
    """
    rng = np.random.default_rng(SEED)
    initializers: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []

    def weight(name: str, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:]))
        array = rng.standard_normal(shape).astype(np.float32) * np.float32(np.sqrt(2 / fan_in))
        initializers.append(numpy_helper.from_array(array, name))
        return name

    def convolve(source: str, name: str, inputs: int, stride: int) -> str:
        kernel = weight(f"{name}.weight", CHANNELS, inputs, 3, 3)
        nodes.append(
            helper.make_node(
                "Conv", [source, kernel], [name], strides=[stride] * 2, pads=[1, 1, 1, 1]
            )
        )
        nodes.append(helper.make_node("Relu", [name], [f"{name}.active"]))
        return f"{name}.active"

    last = convolve("image", "stem", SHAPE[0], 2)
    for layer in range(LAYERS):
        last = convolve(last, f"conv{layer}", CHANNELS, 1)
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", weight("head.weight", CHANNELS, CLASSES)], ["logits"]),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *SHAPE])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", CLASSES]),
        ],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path = repository / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def images(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Made-up images, FP32 [*count*, 3, 224, 224], each with probabilities of its own.

    Fine noise would look the same to the model everywhere, so each is a coarse pattern.
    """
    rng = np.random.default_rng(SEED)
    shape = (count, SHAPE[0], SHAPE[1] // 16, SHAPE[2] // 16)
    coarse = rng.standard_normal(shape) * rng.uniform(0.2, 3.0, (count, SHAPE[0], 1, 1))
    return np.kron(coarse, np.ones((1, 1, 16, 16))).astype(np.float32)
