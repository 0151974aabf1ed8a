# SPDX-License-Identifier: Apache-2.0
"""Input steps on values: scale, normalize, clip, cast. Shapes stay as they are."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np

from gateway.errors import InvalidRequest
from gateway.steps.step import (
    FLOATS,
    INTEGERS,
    Change,
    Misfit,
    OneInput,
    buffer,
    class_axis,
    constant,
)
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import NUMPY, Array, Tensor

Number = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64",
]  # fmt: skip


class Scale(OneInput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``x * factor + offset`` in the input's own floating-point type."""

    kind: ClassVar[str] = "scale"

    factor: Annotated[float, msgspec.Meta(description="What every value is multiplied by.")]
    offset: Annotated[
        float, msgspec.Meta(description="What is added after the multiplication; 0 by default.")
    ] = 0.0

    def __post_init__(self) -> None:
        finite("factor", self.factor)
        finite("offset", self.offset)

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:  # noqa: ARG002
        """The same."""
        return _needs(spec, FLOATS, self.kind)

    def change(self, spec: TensorSpec, *, batched: bool) -> Change:  # noqa: ARG002
        """One multiplication, and one addition where there is an offset."""
        datatype, dtype = spec.datatype, NUMPY[spec.datatype]
        factor = constant(self.factor, dtype, "factor")
        offset = constant(self.offset, dtype, "offset") if self.offset else None

        def scale(tensor: Tensor) -> Tensor:
            values = np.frombuffer(tensor.data, dtype) * factor
            if offset is not None:
                values += offset
            return Tensor(tensor.name, datatype, tensor.shape, buffer(values))

        return scale


class Normalize(OneInput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``(x - mean) / std`` in the input's own floating-point type, for all values or by channel."""

    kind: ClassVar[str] = "normalize"

    mean: Annotated[
        float | tuple[float, ...],
        msgspec.Meta(description="What is subtracted: one number, or one for each channel."),
    ]
    std: Annotated[
        float | tuple[float, ...],
        msgspec.Meta(
            description="What the difference is divided by: one number, or one for each channel; "
            "never 0."
        ),
    ]
    axis: Annotated[
        int,
        msgspec.Meta(
            description="Dimension of the channels, the batch counted: -1 (the default) is the "
            "last, 1 is right for NCHW images. Read only where mean or std is a list."
        ),
    ] = -1

    def __post_init__(self) -> None:
        lengths = set()
        for name, given in (("mean", self.mean), ("std", self.std)):
            values = given if isinstance(given, tuple) else (given,)
            for value in values:
                finite(name, value)
            if isinstance(given, tuple):
                lengths.add(len(given))
        if 0 in lengths or len(lengths) > 1:
            raise ValueError("mean and std must have one number for each channel, equally many")
        if 0.0 in (self.std if isinstance(self.std, tuple) else (self.std,)):
            raise ValueError("std must not be 0: every value is divided by it")

    @property
    def channels(self) -> int:
        """How many channels there must be, 0 for any number."""
        for given in (self.mean, self.std):
            if isinstance(given, tuple):
                return len(given)
        return 0

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:
        """The same, with as many channels as there are numbers."""
        _needs(spec, FLOATS, self.kind)
        count = self.channels
        if not count:
            return spec
        axis = class_axis(spec, self.axis, batched=batched)
        if spec.shape[axis] not in {-1, count}:
            raise Misfit(
                f"{count} channels are given, but axis {axis} of '{spec.name}' "
                f"{list(spec.shape)} has {spec.shape[axis]}"
            )
        shape = (*spec.shape[:axis], count, *spec.shape[axis + 1 :])
        return TensorSpec(spec.name, spec.datatype, shape)

    def change(self, spec: TensorSpec, *, batched: bool) -> Change:
        """A subtraction and a division; by channel, both numbers are broadcast along *axis*."""
        datatype, dtype = spec.datatype, NUMPY[spec.datatype]
        if not self.channels:
            mean = constant(_number(self.mean), dtype, "mean")
            std = _divisor(_number(self.std), dtype)

            def normalize(tensor: Tensor) -> Tensor:
                values = np.frombuffer(tensor.data, dtype) - mean
                values /= std
                return Tensor(tensor.name, datatype, tensor.shape, buffer(values))

            return normalize

        axis = class_axis(spec, self.axis, batched=batched)
        count = self.channels
        along = (count,) + (1,) * (len(spec.shape) - axis - 1)
        means = _column(self.mean, count, dtype, "mean").reshape(along)
        stds = _column(self.std, count, dtype, "std").reshape(along)
        rank = len(spec.shape)

        def normalize_channels(tensor: Tensor) -> Tensor:
            shape = tensor.shape
            if len(shape) != rank or shape[axis] != count:
                raise InvalidRequest(
                    f"input '{tensor.name}': shape {list(shape)} given, "
                    f"{list(spec.shape)} expected, where -1 is any number"
                )
            values = np.frombuffer(tensor.data, dtype).reshape(shape) - means
            values /= stds
            return Tensor(tensor.name, datatype, shape, buffer(values.reshape(-1)))

        return normalize_channels


class Clip(OneInput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values below *min* become *min*, values above *max* become *max*; NaN stays."""

    kind: ClassVar[str] = "clip"

    min: Annotated[
        float | None, msgspec.Meta(description="The lowest value; without it there is none.")
    ] = None
    max: Annotated[
        float | None, msgspec.Meta(description="The highest value; without it there is none.")
    ] = None

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError("clip needs 'min', 'max' or both")
        for name, value in (("min", self.min), ("max", self.max)):
            if value is not None:
                finite(name, value)
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:  # noqa: ARG002
        """The same."""
        return _needs(spec, FLOATS | INTEGERS, self.kind)

    def change(self, spec: TensorSpec, *, batched: bool) -> Change:  # noqa: ARG002
        """A maximum, a minimum or both."""
        datatype, dtype = spec.datatype, NUMPY[spec.datatype]
        low = _bound(self.min, dtype, "min")
        high = _bound(self.max, dtype, "max")

        def clip(tensor: Tensor) -> Tensor:
            values = np.frombuffer(tensor.data, dtype)
            if low is not None:
                values = np.maximum(values, low)
            if high is not None:
                values = np.minimum(values, high)
            return Tensor(tensor.name, datatype, tensor.shape, buffer(values))

        return clip


class Cast(OneInput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another datatype. A fraction is cut off; a value that the new type cannot hold is refused."""

    kind: ClassVar[str] = "cast"

    source_type: Annotated[Number, msgspec.Meta(description="The datatype that clients send.")] = (
        msgspec.field(name="from")
    )
    to: Annotated[Number, msgspec.Meta(description="The datatype that comes out.")]

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:  # noqa: ARG002
        """The same shape in the type that is sent."""
        if spec.datatype != self.to:
            raise Misfit(
                f"it gives {self.to}, but input '{spec.name}' is {spec.datatype} behind it"
            )
        return TensorSpec(spec.name, self.source_type, spec.shape)

    def change(self, spec: TensorSpec, *, batched: bool) -> Change:
        """One conversion, behind a check where the new type holds less than the old."""
        target, before, after = self.to, NUMPY[spec.datatype], NUMPY[self.to]
        lossless = np.can_cast(before, after, "safe") or after.kind == "b"

        def cast(tensor: Tensor) -> Tensor:
            values = np.frombuffer(tensor.data, before)
            if not lossless and not _holds(values, after):
                row = ""
                if batched:
                    row = f", row {_first_row(values.reshape(tensor.rows, -1), after)}"
                raise InvalidRequest(
                    f"input '{tensor.name}'{row}: a value cannot be cast from "
                    f"{tensor.datatype} to {target}"
                )
            return Tensor(tensor.name, target, tensor.shape, buffer(values.astype(after)))

        return cast


def finite(name: str, value: float) -> None:
    """Raise ValueError unless *value* is a number that can be computed with."""
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value}")


def _needs(spec: TensorSpec, datatypes: frozenset[str], kind: str) -> TensorSpec:
    if spec.datatype not in datatypes:
        raise Misfit(
            f"input '{spec.name}' is {spec.datatype} here; {kind} takes "
            f"{', '.join(sorted(datatypes))} (a cast before it can change that)"
        )
    return spec


def _number(value: float | tuple[float, ...]) -> float:
    return value[0] if isinstance(value, tuple) else value


def _divisor(value: float, dtype: np.dtype[Any]) -> Any:  # noqa: ANN401 - a numpy scalar
    scalar = constant(value, dtype, "std")
    if not scalar:
        raise Misfit(f"std {value} is 0 in {dtype.name}")
    return scalar


def _column(value: float | tuple[float, ...], count: int, dtype: np.dtype[Any], what: str) -> Array:
    values = value if isinstance(value, tuple) else (value,) * count
    to_scalar = _divisor if what == "std" else lambda v, d: constant(v, d, what)
    return np.array([to_scalar(v, dtype) for v in values], dtype)


def _bound(value: float | None, dtype: np.dtype[Any], what: str) -> Any:  # noqa: ANN401
    if value is None:
        return None
    if dtype.kind == "f":
        return constant(value, dtype, what)
    limits = np.iinfo(dtype)
    if value != int(value) or not limits.min <= value <= limits.max:
        raise Misfit(f"{what} {value} is not a whole number of {dtype.name}'s range")
    return dtype.type(int(value))


def _first_row(rows: Array, dtype: np.dtype[Any]) -> int:
    """The first of *rows*, [n, values], that has a value without a counterpart in *dtype*."""
    good, bad = 0, len(rows)
    while bad - good > 1:
        middle = (good + bad) // 2
        if _holds(rows[:middle], dtype):
            good = middle
        else:
            bad = middle
    return good


def _holds(values: Array, dtype: np.dtype[Any]) -> bool:
    """Whether each of *values* has a counterpart in *dtype*, its fraction left aside."""
    if not values.size:
        return True
    if dtype.kind == "f":
        # Infinity and NaN have one in every float type; a finite number may be too large.
        with np.errstate(over="ignore"):
            narrow = values.astype(dtype)
        return bool((np.isfinite(narrow) == np.isfinite(values)).all())
    limits = np.iinfo(dtype)
    if values.dtype.kind == "f":
        # The highest integer may not be a float of this type, but the power of two above it is.
        above = float(limits.max) + 1 if limits.max < 2**53 else float(limits.max)
        if above > float(np.finfo(values.dtype).max):
            return bool(np.isfinite(values).all()) and float(values.min()) >= limits.min
        return bool(((values >= limits.min) & (values < above)).all())
    return int(values.min()) >= limits.min and int(values.max()) <= limits.max
