# SPDX-License-Identifier: Apache-2.0
"""Inverse scale: a prediction in the units of the training target, not in scaled ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, ClassVar, Final, Literal

import msgspec
import numpy as np

from gateway.errors import BadAnswer
from gateway.steps.answer import Name, beside, made, placed
from gateway.steps.learned import read_learned
from gateway.steps.step import Kernel, Misfit, OneOutput, Tensors, find
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import NUMPY, Array

_POWERS: Final[dict[str, Callable[[Array], Array]]] = {
    "log": np.exp,
    "log1p": np.expm1,
    "log2": np.exp2,
    "log10": lambda values: np.power(10.0, values),
}


class _Statistics(msgspec.Struct, frozen=True):
    """A statistics file: a standard scaling's ``mean`` and ``scale``, or a ``min`` and ``max``."""

    mean: float | tuple[float, ...] | None = None
    scale: float | tuple[float, ...] | None = None
    min: float | tuple[float, ...] | None = None
    max: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        standard, ranged = (self.mean, self.scale), (self.min, self.max)
        if (None in standard) == (None in ranged):
            raise ValueError("expected 'mean' and 'scale', or 'min' and 'max'")

    def line(self) -> tuple[float | tuple[float, ...], float | tuple[float, ...]]:
        """Offset and factor of the way back."""
        if self.mean is not None and self.scale is not None:
            return self.mean, self.scale
        low, high = np.asarray(self.min, np.float64), np.asarray(self.max, np.float64)
        if low.shape != high.shape:
            raise Misfit("'min' and 'max' must have equally many numbers")
        return tuple(low.reshape(-1).tolist()), tuple((high - low).reshape(-1).tolist())


class InverseScale(OneOutput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``x * scale + mean``, and then the power that undoes a logarithm: the training's way back.

    Undoes a StandardScaler (``mean_``, ``scale_``) or a MinMaxScaler to 0..1 (``data_min_``,
    ``data_max_``) of the target, whose logarithm may have been taken before.
    """

    kind: ClassVar[str] = "inverse_scale"

    mean: Annotated[
        float | tuple[float, ...],
        msgspec.Meta(
            description="What is added: one number, or one for each column of the last dimension; "
            "0 by default."
        ),
    ] = 0.0
    scale: Annotated[
        float | tuple[float, ...],
        msgspec.Meta(description="What is multiplied by before, in the same form; 1 by default."),
    ] = 1.0
    file: Annotated[
        str,
        msgspec.Meta(
            description='A JSON file in place of both: {"mean": …, "scale": …}, or {"min": …, '
            '"max": …} of the target, numbers or lists.'
        ),
    ] = ""
    log: Annotated[
        Literal["none", "log", "log1p", "log2", "log10"],
        msgspec.Meta(description="The logarithm that the training took of the target."),
    ] = "none"
    name: Name = ""

    def __post_init__(self) -> None:
        if self.file and (self.mean != 0.0 or self.scale != 1.0):
            raise ValueError("give 'mean' and 'scale', or 'file', not both")

    def recipe(self) -> bytes:
        """The fields, and the numbers where a file holds them."""
        return msgspec.msgpack.encode((self, self._line()))

    def after(self, info: ModelInfo) -> ModelInfo:
        """The same type and shape, in place or as a further output."""
        at, spec = self._source(info)
        result = TensorSpec(self.name or spec.name, spec.datatype, spec.shape)
        return beside(info, at, self.name, result)

    def bind(self, info: ModelInfo) -> Kernel:
        """The kernel; computed in FP64."""
        _, spec = self._source(info)
        offset, factor = (np.asarray(part, np.float64) for part in self._line())
        columns = max(offset.size, factor.size)
        name, datatype, dtype = spec.name, spec.datatype, NUMPY[spec.datatype]
        result, power = self.name or spec.name, _POWERS.get(self.log)

        def inverse_scale(tensors: Tensors) -> Tensors:
            at = find(tensors, name, datatype)
            values = tensors[at].array()
            if columns > 1 and values.shape[-1] != columns:
                raise BadAnswer(
                    f"output '{name}': {values.shape[-1]} columns came, the scaling has {columns}"
                )
            back: Array = values * factor + offset
            if power is not None:
                back = power(back)
            return placed(tensors, at, made(result, datatype, back.astype(dtype)))

        return inverse_scale

    def _source(self, info: ModelInfo) -> tuple[int, TensorSpec]:
        columns = max(len(part) for part in self._line())
        at = self.place(info, rank=1 if columns > 1 else 0)
        spec = info.outputs[at]
        if columns > 1 and spec.shape[-1] not in {-1, columns}:
            raise Misfit(
                f"{columns} columns are given, but output '{spec.name}' {list(spec.shape)} has "
                f"{spec.shape[-1]}"
            )
        return at, spec

    def _line(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Offset and factor, each one number or one for each column."""
        offset, factor = self.mean, self.scale
        if self.file:
            offset, factor = read_learned(self.file, _Statistics, "statistics").line()
        parts = [part if isinstance(part, tuple) else (part,) for part in (offset, factor)]
        if len({len(part) for part in parts if len(part) != 1}) > 1 or not all(parts):
            raise Misfit("'mean' and 'scale' must have equally many numbers")
        if not all(math.isfinite(number) for part in parts for number in part):
            raise Misfit("'mean' and 'scale' must be finite numbers")
        return parts[0], parts[1]
