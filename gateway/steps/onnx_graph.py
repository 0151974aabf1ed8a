# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph as a step: what a scikit-learn pipeline was exported to runs before the model."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import msgspec
import numpy as np

from gateway.errors import InvalidRequest
from gateway.steps.files import content, package
from gateway.steps.step import Kernel, Misfit, Tensors, listed
from gateway.steps.strings import MAX_BYTES, Bound, texts
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.wire.tensor import Array

_DATATYPES: Final = {
    "tensor(bool)": "BOOL", "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32", "tensor(uint64)": "UINT64", "tensor(int8)": "INT8",
    "tensor(int16)": "INT16", "tensor(int32)": "INT32", "tensor(int64)": "INT64",
    "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}  # fmt: skip
# What a graph that fails says first; the rest is its inside.
_LONGEST_REASON: Final = 300


class OnnxGraph(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An ONNX graph whose outputs are inputs of the model, by name."""

    kind: ClassVar[str] = "onnx"
    inline_bytes: ClassVar[int] = 0
    rows_apart: ClassVar[bool] = True

    file: Annotated[str, msgspec.Meta(min_length=1, description="The graph, an .onnx file.")]
    outputs: Annotated[
        dict[str, str],
        msgspec.Meta(
            max_length=64,
            description="The model's inputs by the names of the graph's outputs, where these "
            "differ; a graph of one output needs none for a model of one input.",
        ),
    ] = {}
    max_bytes: Bound = MAX_BYTES

    def faults(self) -> Iterable[tuple[str, str]]:
        """A file that is missing, or that onnxruntime does not take."""
        try:
            _graph(content(self.file))
        except Misfit as error:
            yield "file", str(error)

    def recipe(self) -> bytes:
        """The fields and the content of the file."""
        return msgspec.msgpack.encode((self, sha256(content(self.file)).digest()))

    def before(self, info: ModelInfo) -> ModelInfo:
        """The graph's inputs in the place of those that it gives; raises Misfit."""
        graph = _graph(content(self.file))
        given = self._given(graph, info)
        kept = tuple(spec for spec in info.inputs if spec.name not in given.values())
        for spec in graph.inputs:
            if any(spec.name == other.name for other in kept):
                raise Misfit(f"the graph and the model have an input '{spec.name}' each")
            if info.batched and (not spec.shape or spec.shape[0] != -1):
                raise Misfit(
                    f"the graph's input '{spec.name}' is {list(spec.shape)}; the model's first "
                    "dimension is the batch, so the graph's has to be free too"
                )
        return msgspec.structs.replace(info, inputs=(*graph.inputs, *kept))

    def bind_to(self, info: ModelInfo) -> Kernel:
        """The kernel; raises InvalidRequest where the graph does not take the values."""
        graph = _graph(content(self.file))
        given = self._given(graph, info)
        specs = {spec.name: spec for spec in graph.inputs}
        ends = [(name, given[name]) for name in given]
        datatypes = {spec.name: spec.datatype for spec in info.inputs}
        batched, most = info.batched, self.max_bytes

        def run(tensors: Tensors) -> Tensors:
            feed: dict[str, Any] = {}
            others = []
            rows = 0
            for tensor in tensors:
                spec = specs.get(tensor.name)
                if spec is None:
                    others.append(tensor)
                    continue
                _check(tensor, spec)
                rows = tensor.rows
                feed[tensor.name] = _array(tensor, most)
            if missing := specs.keys() - feed.keys():
                raise InvalidRequest(f"input '{min(missing)}' is missing")
            arrays = graph.run([name for name, _ in ends], feed)
            made = []
            for (name, target), array in zip(ends, arrays, strict=True):
                if batched and (not array.shape or array.shape[0] != rows):
                    raise InvalidRequest(
                        f"the graph '{self.file}' gave shape {list(array.shape)} as '{name}' "
                        f"for {rows} rows"
                    )
                made.append(Tensor.of(target, array, datatype=datatypes[target]))
            return (*made, *others)

        return run

    def _given(self, graph: _Graph, info: ModelInfo) -> dict[str, str]:
        """The model's inputs by the graph's outputs that become them; raises Misfit."""
        inputs = {spec.name: spec for spec in info.inputs}
        outputs = {spec.name: spec for spec in graph.outputs}
        given = dict(self.outputs)
        if not given:
            given = {name: name for name in outputs if name in inputs}
            if not given and len(outputs) == 1 and len(inputs) == 1:
                given = {next(iter(outputs)): next(iter(inputs))}
        if not given:
            raise Misfit(
                f"none of the graph's outputs {listed(list(outputs))} is an input of the model, "
                f"which has {listed(list(inputs))}; say with 'outputs' which becomes which"
            )
        for name, target in given.items():
            if name not in outputs:
                raise Misfit(f"the graph has no output '{name}', only {listed(list(outputs))}")
            if target not in inputs:
                raise Misfit(f"there is no input '{target}'; the model has {listed(list(inputs))}")
            _check_fit(outputs[name], inputs[target])
        if len(set(given.values())) != len(given):
            raise Misfit("two of the graph's outputs become one input")
        return given


class _Graph:
    """A session of one thread, which any number of threads may run at the same time."""

    def __init__(self, data: bytes) -> None:
        runtime = package("onnxruntime", extra="onnx")
        options = runtime.SessionOptions()
        # The gateway decides how many kernels run at a time.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - the library raises nothing more exact
            raise Misfit(f"not a graph that onnxruntime takes: {_reason(error)}") from None
        self.inputs = tuple(_spec(each) for each in self._session.get_inputs())
        self.outputs = tuple(
            _spec(each) for each in self._session.get_outputs() if each.type in _DATATYPES
        )

    def run(self, outputs: list[str], feed: dict[str, Any]) -> list[Array]:
        """The arrays of *outputs* for *feed*; raises InvalidRequest."""
        try:
            arrays: list[Array] = self._session.run(outputs, feed)
        except Exception as error:  # noqa: BLE001 - as above
            raise InvalidRequest(f"the preprocessing graph failed: {_reason(error)}") from None
        return arrays


@lru_cache(maxsize=16)
def _graph(data: bytes) -> _Graph:
    return _Graph(data)


def _spec(value: Any) -> TensorSpec:  # noqa: ANN401 - the library has no types
    datatype = _DATATYPES.get(value.type)
    if datatype is None:
        raise Misfit(f"the graph's input '{value.name}' is a {value.type}, which no request has")
    shape = tuple(each if isinstance(each, int) else -1 for each in value.shape)
    return TensorSpec(value.name, datatype, shape)


def _check_fit(made: TensorSpec, wanted: TensorSpec) -> None:
    fits = (
        made.datatype == wanted.datatype
        and len(made.shape) == len(wanted.shape)
        and all(
            -1 in {here, there} or here == there
            for here, there in zip(made.shape, wanted.shape, strict=True)
        )
    )
    if not fits:
        raise Misfit(
            f"the graph gives {made.datatype}{list(made.shape)} as '{made.name}', but input "
            f"'{wanted.name}' is {wanted.datatype}{list(wanted.shape)} behind it"
        )


def _check(tensor: Tensor, spec: TensorSpec) -> None:
    fits = tensor.datatype == spec.datatype and len(tensor.shape) == len(spec.shape)
    if not fits or any(
        there not in {-1, here} for here, there in zip(tensor.shape, spec.shape, strict=True)
    ):
        raise InvalidRequest(
            f"input '{tensor.name}': {tensor.datatype}{list(tensor.shape)} given, "
            f"{spec.datatype}{list(spec.shape)} expected, where -1 is any number"
        )


def _array(tensor: Tensor, most: int) -> Array:
    if tensor.datatype != "BYTES":
        return tensor.array()
    array = np.empty(len(strings := texts(tensor, max_bytes=most)), object)
    array[:] = strings
    return array.reshape(tensor.shape)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:_LONGEST_REASON]
