# SPDX-License-Identifier: Apache-2.0
"""Source: a model on disk, and what of it can be quantised."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from gateway.lab import LabError

if TYPE_CHECKING:
    from types import ModuleType

MODEL_FILE: Final = "model.onnx"
LABELS_FILE: Final = "labels.txt"
# Operators that multiply by weights: what bytes make smaller and quicker.
MULTIPLIES: Final = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})
# Those that dynamic quantisation has kernels for on a CPU; ConvInteger is slower than floats.
DYNAMIC: Final = frozenset({"MatMul", "Gemm", "LSTM", "Attention"})
_QUANTISED: Final = frozenset({
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger",
    "QLinearConv", "QLinearMatMul", "MatMulNBits",
})  # fmt: skip
_PACKAGES: Final = {"onnx": "onnx", "onnxruntime.quantization": "onnx"}

# A graph or a model of the package onnx, which is an extra.
Proto: TypeAlias = Any


def needed(name: str, *, purpose: str = "quantize") -> ModuleType:
    """The module *name* of the extra `lab`; raises LabError that says what to install."""
    try:
        return import_module(name)
    except ImportError:
        package = _PACKAGES.get(name, name.partition(".")[0])
        raise LabError(
            f"{purpose} needs the package {package}; install Infergate with its extra 'lab': "
            "pip install 'infergate[lab]'"
        ) from None


@dataclass(frozen=True, slots=True)
class Source:
    """The newest version of a model: its *file*, and its operators with how often each occurs."""

    name: str
    version: int
    file: Path
    kinds: Counter[str] = field(default_factory=Counter)
    # A file alone, and not one of a repository.
    bare: bool = False

    @property
    def bytes(self) -> int:
        """Of the model file and of the weights in files beside it."""
        beside = self.file.parent.glob(f"{self.file.stem}*.data")
        return sum(each.stat().st_size for each in (self.file, *beside))

    @property
    def trees(self) -> bool:
        """Whether it decides by thresholds and multiplies nothing."""
        return any("TreeEnsemble" in kind for kind in self.kinds)

    def why_not(self, precision: str) -> str | None:
        """Why it cannot be had in *precision*, or None where it can."""
        if self.trees and not MULTIPLIES & set(self.kinds):
            kind = next(kind for kind in self.kinds if "TreeEnsemble" in kind)
            return (
                f"an ensemble of trees ({kind}) compares numbers with thresholds and multiplies "
                "nothing, so there is nothing to quantise"
            )
        if precision == "fp32":
            return None
        found = sorted(_QUANTISED & set(self.kinds))
        if found:
            return f"it is quantised already ({', '.join(found)})"
        wanted = DYNAMIC if precision == "int8-dynamic" else MULTIPLIES | DYNAMIC
        if not wanted & set(self.kinds):
            has = ", ".join(sorted(self.kinds)) or "nothing"
            return f"no {' or '.join(sorted(wanted))} to quantise; its operators are {has}"
        return None


def find(path: str) -> Source:
    """The model at *path*, a repository directory or an .onnx file; raises LabError."""
    place = Path(path)
    if place.is_dir():
        versions = [int(each.name) for each in place.iterdir() if each.name.isdecimal()]
        if not versions:
            raise LabError(f"{path}: no version directory; {place.name}/1/{MODEL_FILE} is expected")
        version = max(versions)
        file = place / str(version) / MODEL_FILE
        name = place.resolve().name
    else:
        file, version, name = place, 1, place.stem
    if not file.is_file():
        raise LabError(f"{file}: no such file; give MODEL (with MODEL/1/model.onnx) or FILE.onnx")
    return Source(name, version, file, _kinds(file), bare=not place.is_dir())


def _kinds(file: Path) -> Counter[str]:
    onnx = needed("onnx")
    try:
        model = onnx.load(str(file), load_external_data=False)
    except Exception as error:  # noqa: BLE001 - protobuf's own classes, which change their place
        raise LabError(f"{file}: not an ONNX model: {_first_line(error)}") from None
    return Counter(node.op_type for node in nodes_of(model.graph))


def nodes_of(graph: Proto) -> list[Proto]:
    """The nodes of *graph* and of the graphs within them."""
    found = []
    for node in graph.node:
        found.append(node)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += nodes_of(attribute.g)
            for inner in attribute.graphs:
                found += nodes_of(inner)
    return found


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
