# SPDX-License-Identifier: Apache-2.0
"""Calibrate: scores to probabilities that mean what they say, by a fit made elsewhere.

Temperature: Guo et al., "On Calibration of Modern Neural Networks" (2017). Platt's sigmoid and the
isotonic regression are applied as scikit-learn's CalibratedClassifierCV does, one class against the
rest and then brought to a sum of 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import msgspec
import numpy as np

from gateway.errors import BadAnswer
from gateway.steps.answer import Name, beside, made, placed, scores
from gateway.steps.learned import read_learned
from gateway.steps.probability import expit, softmax
from gateway.steps.step import Kernel, Misfit, OneOutput, Tensors, find
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import NUMPY, Array

Curve: TypeAlias = Callable[[Array], Array]


class _Platt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``1 / (1 + exp(a * x + b))``: attributes ``a_`` and ``b_`` of scikit-learn's calibrator."""

    a: float
    b: float

    def __call__(self, values: Array) -> Array:
        return expit(-(self.a * values + self.b))


class _Isotonic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Straight lines between points: ``X_thresholds_`` and ``y_thresholds_`` of the regression.

    Below the first and above the last point the value is theirs (``out_of_bounds="clip"``).
    """

    x: Annotated[tuple[float, ...], msgspec.Meta(min_length=1)]
    y: Annotated[tuple[float, ...], msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"x has {len(self.x)} points and y has {len(self.y)}")
        if not all(math.isfinite(value) for value in (*self.x, *self.y)):
            raise ValueError("x and y must be finite numbers")
        if any(low >= high for low, high in pairwise(self.x)):
            raise ValueError("x must rise from point to point")

    def __call__(self, values: Array) -> Array:
        return np.interp(values, self.x, self.y)


class _PlattFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="method",
                 tag="sigmoid"):  # fmt: skip
    classes: Annotated[tuple[_Platt, ...], msgspec.Meta(min_length=1)]


class _IsotonicFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="method",
                    tag="isotonic"):  # fmt: skip
    classes: Annotated[tuple[_Isotonic, ...], msgspec.Meta(min_length=1)]


class _TemperatureFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="method",
                       tag="temperature"):  # fmt: skip
    temperature: Annotated[float, msgspec.Meta(gt=0)]


_File: TypeAlias = _PlattFile | _IsotonicFile | _TemperatureFile


class Calibrate(OneOutput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scores to calibrated probabilities along the last dimension.

    ``temperature`` gives ``softmax(logits / T)``. A ``file`` has ``{"method": "temperature",
    "temperature": T}``, ``{"method": "sigmoid", "classes": [{"a": …, "b": …}, …]}`` or
    ``{"method": "isotonic", "classes": [{"x": […], "y": […]}, …]}``, one entry a class; of two
    classes one entry is enough, for the second, and one score a row is that of the second.
    """

    kind: ClassVar[str] = "calibrate"

    temperature: Annotated[
        Annotated[float, msgspec.Meta(gt=0)] | None,
        msgspec.Meta(description="What logits are divided by; above 1 is less sure."),
    ] = None
    file: Annotated[
        str, msgspec.Meta(description="A JSON file with the fit, in place of 'temperature'.")
    ] = ""
    given: Annotated[
        Literal["logits", "probabilities"],
        msgspec.Meta(
            description="What the output holds, for a temperature: logits (the default), or "
            "probabilities, whose logarithms are taken. Danger: the wrong one of the two gives "
            "probabilities that look right."
        ),
    ] = "logits"
    name: Name = ""

    def __post_init__(self) -> None:
        if (self.temperature is None) == (not self.file):
            raise ValueError("give 'temperature' or 'file', one of them")
        if self.temperature is not None and not math.isfinite(self.temperature):
            raise ValueError("temperature must be a finite number")

    def recipe(self) -> bytes:
        """The fields, and the fit where a file holds it."""
        return msgspec.msgpack.encode((self, self._fit() if self.file else None))

    def after(self, info: ModelInfo) -> ModelInfo:
        """The same type and shape, in place or as a further output."""
        at, spec = self._source(info)
        self._method(spec)
        result = TensorSpec(self.name or spec.name, spec.datatype, spec.shape)
        return beside(info, at, self.name, result)

    def bind(self, info: ModelInfo) -> Kernel:
        """The kernel; computed in FP64."""
        _, spec = self._source(info)
        name, datatype, dtype = spec.name, spec.datatype, NUMPY[spec.datatype]
        result, method = self.name or spec.name, self._method(spec)

        def calibrate(tensors: Tensors) -> Tensors:
            at = find(tensors, name, datatype)
            values = method(scores(tensors[at], -1).astype(np.float64))
            return placed(tensors, at, made(result, datatype, values.astype(dtype)))

        return calibrate

    def _source(self, info: ModelInfo) -> tuple[int, TensorSpec]:
        at = self.place(info)
        return at, info.outputs[at]

    def _fit(self) -> _File:
        # msgspec decodes unions, which are no types to a checker.
        form: Any = _File
        found: _File = read_learned(self.file, form, "calibration")
        return found

    def _method(self, spec: TensorSpec) -> Curve:
        """The function for values of *spec*; raises Misfit where the fit is of other classes."""
        fit = _TemperatureFile(self.temperature) if self.temperature is not None else self._fit()
        if isinstance(fit, _TemperatureFile):
            temperature, logarithms = fit.temperature, self.given == "probabilities"

            def scaled(values: Array) -> Array:
                return softmax((np.log(values) if logarithms else values) / temperature)

            return scaled
        entries: tuple[Curve, ...] = fit.classes
        width = spec.shape[-1]
        # Two classes have one calibrator, that of the second.
        fitting = {1, 2} if len(entries) == 1 else {len(entries)}
        if width not in fitting | {-1}:
            raise Misfit(
                f"calibration file '{self.file}' has {len(entries)} classes, but output "
                f"'{spec.name}' {list(spec.shape)} has {width}"
            )

        def one_against_rest(values: Array) -> Array:
            if values.shape[-1] not in fitting:
                raise BadAnswer(
                    f"output '{spec.name}': {values.shape[-1]} classes came, the calibration has "
                    f"{len(entries)}"
                )
            if len(entries) == 1:
                second = entries[0](values[..., -1])
                if values.shape[-1] == 1:
                    return second[..., None]
                return np.stack([1 - second, second], axis=-1)
            apart = [curve(values[..., at]) for at, curve in enumerate(entries)]
            return _sum_to_one(np.stack(apart, axis=-1))

        return one_against_rest


def _sum_to_one(values: Array) -> Array:
    """*values* divided by their sum; all classes alike where it is 0, as scikit-learn has it."""
    total = values.sum(axis=-1, keepdims=True)
    alike = 1 / values.shape[-1]
    shares: Array = np.where(total == 0, alike, values / np.where(total == 0, 1, total))
    return shares
