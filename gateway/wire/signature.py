# SPDX-License-Identifier: Apache-2.0
"""Signature: what a model takes and gives, made ready to check requests against it quickly."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

from gateway.errors import InvalidRequest
from gateway.wire.oip_json import (
    BINARY_ONLY,
    PLAIN,
    binary_only,
    decode_values,
    pack_values,
    packer,
)
from gateway.wire.table import TableReader
from gateway.wire.tensor import ITEM_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import msgspec

    from gateway.wire.model import ModelInfo, TensorSpec
    from gateway.wire.tensor import Tensor

# Dimensions travel as 64-bit integers, and numpy counts the bytes of a tensor in one.
_MAX_DIMENSION: Final = 2**31 - 1
_MAX_BYTES: Final = 2**62
_MAX_SHAPES: Final = 256
_MAX_SIGNATURES: Final = 128
# Dimensions of a shape that a refusal repeats.
_MAX_SHOWN: Final = 16


class InputCheck:
    """One input of a model; *size* is of an element in bytes, 0 for BYTES."""

    __slots__ = ("datatype", "name", "shape", "shapes", "size")

    def __init__(self, spec: TensorSpec) -> None:
        self.name = spec.name
        self.datatype = spec.datatype
        self.shape = spec.shape
        self.size = ITEM_SIZE[spec.datatype]
        # Shapes that were found to fit, with their count and the function that packs their values.
        self.shapes: dict[tuple[int, ...], tuple[int, Callable[..., bytes]]] = {}

    def __repr__(self) -> str:
        return f"<InputCheck {self.name} {self.datatype}{list(self.shape)}>"

    def from_json(self, shape: tuple[int, ...], raw: msgspec.Raw) -> bytes:
        """The buffer of the values in *raw*; raises InvalidRequest."""
        if self.datatype in BINARY_ONLY:
            raise InvalidRequest(binary_only("input", self.name, self.datatype))
        known = self.shapes.get(shape)
        count = known[0] if known is not None else self.count(shape)
        values = decode_values(raw, self.datatype, shape, self.name)
        if len(values) != count:
            raise InvalidRequest(
                f"input '{self.name}': shape {list(shape)} takes {count} elements, "
                f"data has {len(values)}"
            )
        data = pack_values(values, self.datatype, self.name)
        if known is None and self.datatype != "BYTES":
            if len(self.shapes) >= _MAX_SHAPES:
                self.shapes.clear()
            self.shapes[shape] = (count, packer(self.datatype, count))
        return data

    def count(self, shape: tuple[int, ...]) -> int:
        """The number of elements of *shape*; raises InvalidRequest if it does not fit the model."""
        for extent in shape:
            if not 0 <= extent <= _MAX_DIMENSION:
                raise InvalidRequest(
                    f"input '{self.name}': a dimension of shape is "
                    f"{'negative' if extent < 0 else f'above {_MAX_DIMENSION}'}; "
                    f"expected {list(self.shape)}, where -1 is any number"
                )
        if len(shape) != len(self.shape) or any(
            expected not in {-1, extent} for extent, expected in zip(shape, self.shape, strict=True)
        ):
            # A client may send any number of dimensions, and would get them all back.
            given = list(shape) if len(shape) <= _MAX_SHOWN else f"of {len(shape)} dimensions"
            raise InvalidRequest(
                f"input '{self.name}': shape {given} does not fit {list(self.shape)}"
                f"{', where -1 is any number' if -1 in self.shape else ''}"
            )
        # Zeros left out: numpy refuses an empty array too if its other dimensions overflow.
        if prod(extent or 1 for extent in shape) * (self.size or 4) > _MAX_BYTES:
            raise InvalidRequest(f"input '{self.name}': shape {list(shape)} is too large")
        return prod(shape)


class Signature:
    """The inputs and outputs of *model* by name.

    *only* is the input of a model with one, *plain* the same where all that goes in and out are
    numbers that JSON can carry. *table* reads the inputs of a model that takes records.
    """

    __slots__ = ("binary_only", "inputs", "model", "only", "outputs", "plain", "table")

    def __init__(self, model: ModelInfo) -> None:
        self.model = model
        self.inputs = {spec.name: InputCheck(spec) for spec in model.inputs}
        self.only = next(iter(self.inputs.values())) if len(self.inputs) == 1 else None
        self.outputs = {spec.name: spec for spec in model.outputs}
        self.binary_only = [spec for spec in model.outputs if spec.datatype in BINARY_ONLY]
        self.plain = self.only
        if self.only is not None and (self.binary_only or self.only.datatype not in PLAIN):
            self.plain = None
        self.table = None if model.table is None else TableReader(model.table)
        if self.table is not None:
            self.plain = None

    def __repr__(self) -> str:
        return f"<Signature of {self.model.name} {self.model.version}>"

    def unknown_input(self, name: str) -> InvalidRequest:
        """The refusal of an input that the model does not have."""
        return InvalidRequest(
            f"input '{name[:128]}' is not an input of model '{self.model.name}'; "
            f"expected {_listed(self.inputs)}"
        )

    def check_names(self, names: Sequence[str]) -> None:
        """Raise InvalidRequest unless *names*, all known, are each input once."""
        for name in self.inputs:
            if (times := names.count(name)) != 1:
                raise InvalidRequest(
                    f"input '{name}' of model '{self.model.name}' is "
                    + ("missing" if times == 0 else f"given {times} times")
                )

    def check_rows(self, tensors: Sequence[Tensor]) -> None:
        """Raise InvalidRequest where the inputs of a batched model differ in their rows."""
        if self.model.batched and len({tensor.rows for tensor in tensors}) > 1:
            rows = ", ".join(f"'{tensor.name}' has {tensor.rows}" for tensor in tensors)
            raise InvalidRequest(f"inputs: all need the same number of rows, but {rows}")

    def output(self, name: str) -> TensorSpec:
        """The output called *name*; raises InvalidRequest if there is none."""
        spec = self.outputs.get(name)
        if spec is None:
            raise InvalidRequest(
                f"output '{name[:128]}' is not an output of model '{self.model.name}'; "
                f"expected {_listed(self.outputs)}"
            )
        return spec

    def check_json_outputs(self) -> None:
        """Raise InvalidRequest unless JSON can carry every output."""
        for spec in self.binary_only:
            raise InvalidRequest(binary_only("output", spec.name, spec.datatype))


_signatures: dict[int, Signature] = {}


def signature_of(model: ModelInfo) -> Signature:
    """The signature of *model*, made once for each object."""
    known = _signatures.get(id(model))
    if known is not None:
        # The entry keeps its model alive, so no other can have the same id.
        return known
    if len(_signatures) >= _MAX_SIGNATURES:
        _signatures.clear()
    return _signatures.setdefault(id(model), Signature(model))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
