# SPDX-License-Identifier: Apache-2.0
"""Session: one ONNX model in onnxruntime, with the checks and conversions around a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from backends.errors import StartError
from backends.tensors import (
    DATATYPE,
    Feed,
    array_of,
    ort_value_of,
    tensor_of,
    tensor_of_ort_value,
)
from gateway.errors import InvalidRequest, UpstreamError
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Tensor

PLATFORM: Final = "onnx_onnxv1"
OPTIMIZATION: Final = {
    "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
# onnxruntime's own classes have no parent but Exception; pybind turns the rest into these.
_ORT_ERRORS: Final[tuple[type[Exception], ...]] = (
    *(
        member
        for member in vars(ort).values()
        if isinstance(member, type) and issubclass(member, Exception)
    ),
    RuntimeError,
    ValueError,
    TypeError,
    MemoryError,
)
_FATAL: Final = 4


class SessionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How onnxruntime runs the model."""

    # Threads inside one operator. More than the cores that are free slows every other process.
    threads: int = 1
    # Operators run side by side where above 1; few graphs gain.
    inter_threads: int = 1
    # Graph rewriting before the first run: none, basic, extended, all.
    optimization: str = "all"
    # Execution providers in order of preference; onnxruntime must have been built with them.
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    # Keep freed memory for the next run: faster, and the process never shrinks again.
    arena: bool = True
    # Let idle threads of the pool spin: lower latency for one model, a busy core all the time.
    spinning: bool = False


class Session:
    """A loaded model; `run` may be called from many threads at once.

    Raises StartError where the file is not a model, or not one whose inputs and outputs are
    tensors of v2 datatypes.
    """

    def __init__(self, path: Path, options: SessionOptions) -> None:
        self.path = path
        self._session = _load(path, options)
        self.inputs = tuple(_spec(path, "input", node) for node in self._session.get_inputs())
        self.outputs = tuple(_spec(path, "output", node) for node in self._session.get_outputs())
        self._inputs = {spec.name: spec for spec in self.inputs}
        self._outputs = {spec.name: spec for spec in self.outputs}
        # Only an OrtValue can hold a BF16; it costs more than an array, so others go without.
        self._by_value = any(spec.datatype == "BF16" for spec in self.outputs)
        if self._by_value:
            _refuse_text(path, self.inputs, self.outputs)

    def __repr__(self) -> str:
        return f"<Session {self.path} {list(self._inputs)} -> {list(self._outputs)}>"

    def feed(self, tensors: tuple[Tensor, ...]) -> Feed:
        """What `run` takes, of one tensor for each input.

        Raises InvalidRequest for a name, datatype or shape that the model does not take.
        """
        feed: Feed = {}
        for tensor in tensors:
            name = tensor.name
            spec = self._inputs.get(name)
            if spec is None:
                raise InvalidRequest(
                    f"input '{name}': the model has none of that name, only {list(self._inputs)}"
                )
            if name in feed:
                raise InvalidRequest(f"input '{name}' is given twice")
            if tensor.datatype != spec.datatype:
                raise InvalidRequest(
                    f"input '{name}': datatype {spec.datatype} expected, not {tensor.datatype}"
                )
            _check_shape(spec, tensor.shape)
            array = array_of(tensor)
            by_value = self._by_value or spec.datatype == "BF16"
            feed[name] = ort_value_of(spec.datatype, array) if by_value else array
        if len(feed) != len(self._inputs):
            missing = [name for name in self._inputs if name not in feed]
            raise InvalidRequest(f"inputs {missing} are missing")
        return feed

    def select(self, names: list[str]) -> tuple[TensorSpec, ...]:
        """The outputs called *names*, all for none; raises InvalidRequest for an unknown one."""
        if not names:
            return self.outputs
        try:
            return tuple(self._outputs[name] for name in names)
        except KeyError as error:
            raise InvalidRequest(
                f"output {error}: the model has none of that name, only {list(self._outputs)}"
            ) from error

    def run(
        self, feed: Feed, outputs: tuple[TensorSpec, ...], options: ort.RunOptions | None = None
    ) -> tuple[Tensor, ...]:
        """One inference.

        Raises InvalidRequest where onnxruntime blames the input, else UpstreamError.
        """
        names = [spec.name for spec in outputs]
        try:
            if self._by_value:
                values = self._session.run_with_ort_values(names, feed, options)
                return tuple(map(tensor_of_ort_value, outputs, values))
            return tuple(map(tensor_of, outputs, self._session.run(names, feed, options)))
        except ort.InvalidArgument as error:
            raise InvalidRequest(_message(error)) from error
        except _ORT_ERRORS as error:
            raise UpstreamError(_message(error)) from error


def run_options() -> ort.RunOptions:
    """Options of one run; setting their *terminate* from another thread ends the run early."""
    options = onnxruntime.RunOptions()
    options.log_severity_level = _FATAL
    return options


def _load(path: Path, options: SessionOptions) -> onnxruntime.InferenceSession:
    # What goes wrong is in the exceptions; onnxruntime would write it to stderr a second time.
    onnxruntime.set_default_logger_severity(_FATAL)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = options.inter_threads
    if options.inter_threads > 1:
        settings.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    settings.graph_optimization_level = OPTIMIZATION[options.optimization]
    settings.enable_cpu_mem_arena = options.arena
    spinning = "1" if options.spinning else "0"
    settings.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    settings.add_session_config_entry("session.inter_op.allow_spinning", spinning)
    available = onnxruntime.get_available_providers()
    for provider in options.providers:
        if provider not in available:
            raise StartError(
                f"--providers {provider}", f"not in this onnxruntime, which has {available}"
            )
    try:
        return onnxruntime.InferenceSession(str(path), settings, list(options.providers))
    except _ORT_ERRORS as error:
        raise StartError(
            path, f"not a model that onnxruntime can load: {_message(error)}"
        ) from error


def _spec(path: Path, kind: str, node: Any) -> TensorSpec:  # noqa: ANN401 - untyped library
    datatype = DATATYPE.get(node.type)
    if datatype is None:
        raise StartError(
            path,
            f"{kind} '{node.name}' is a {node.type}; only tensors of v2 datatypes can be served "
            "(a classifier converted with a ZipMap: convert it with zipmap=False)",
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return TensorSpec(node.name, datatype, shape)


def _refuse_text(
    path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> None:
    """A BF16 output wants every input as an OrtValue, and text cannot be made one in Python."""
    for text in inputs:
        if text.datatype == "BYTES":
            out = next(spec.name for spec in outputs if spec.datatype == "BF16")
            raise StartError(
                path,
                f"BYTES input '{text.name}' and BF16 output '{out}' cannot be served together; "
                "cast the output to FP32 in the model",
            )


def _check_shape(spec: TensorSpec, shape: tuple[int, ...]) -> None:
    expected = spec.shape
    if expected == shape or not expected:
        # No dimensions: a scalar, or a rank that the model leaves open; onnxruntime tells neither.
        return
    if len(expected) == len(shape):
        for want, got in zip(expected, shape, strict=True):
            if want not in {-1, got}:
                break
        else:
            return
    raise InvalidRequest(
        f"input '{spec.name}': shape {list(expected)} expected (-1 is free), not {list(shape)}"
    )


def _message(error: Exception) -> str:
    """The text of *error* in one line, without onnxruntime's own prefix."""
    text = " ".join(str(error).split()) or type(error).__name__
    if text.startswith("[ONNXRuntimeError]"):
        text = text.split(" : ", 3)[-1]
    return text
