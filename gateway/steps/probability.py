# SPDX-License-Identifier: Apache-2.0
"""Output steps between scores, probabilities and decisions: sigmoid, threshold."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from gateway.errors import BadAnswer
from gateway.steps.answer import Name, beside, made, placed, wide
from gateway.steps.step import Kernel, Misfit, OneOutput, Tensors, find
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import NUMPY, Array


class Sigmoid(OneOutput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scores to probabilities, each by itself: ``1 / (1 + exp(-x))``, as scipy's ``expit``."""

    kind: ClassVar[str] = "sigmoid"

    name: Name = ""

    def after(self, info: ModelInfo) -> ModelInfo:
        """The same type and shape, in place or as a further output."""
        at = self.place(info, rank=0)
        spec = info.outputs[at]
        result = TensorSpec(self.name or spec.name, spec.datatype, spec.shape)
        return beside(info, at, self.name, result)

    def bind(self, info: ModelInfo) -> Kernel:
        """The kernel; FP16 is computed in FP32."""
        spec = info.outputs[self.place(info, rank=0)]
        name, datatype, dtype = spec.name, spec.datatype, NUMPY[spec.datatype]
        computed, result = wide(datatype), self.name or spec.name

        def sigmoid(tensors: Tensors) -> Tensors:
            at = find(tensors, name, datatype)
            values = expit(tensors[at].array().astype(computed, copy=False))
            return placed(tensors, at, made(result, datatype, values.astype(dtype, copy=False)))

        return sigmoid


class Threshold(OneOutput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Yes where a score is at least a threshold: of one class, or of each by itself.

    With ``column`` the answer is one class a row, INT64: 1 where that column's score is at least
    ``at``, else 0, as scikit-learn's FixedThresholdClassifier decides. Without it every score is
    compared, and the answer is BOOL of the same shape: a multilabel decision. NaN is never enough.
    """

    kind: ClassVar[str] = "threshold"

    at: Annotated[
        float | tuple[float, ...],
        msgspec.Meta(
            description="The least score that is a yes: one for all, or one for each class of the "
            "last dimension."
        ),
    ]
    column: Annotated[
        Annotated[int, msgspec.Meta(ge=0)] | None,
        msgspec.Meta(
            description="The class of the last dimension that decides between two, 1 where a model "
            "gives the probabilities of no and yes; without it every class is decided alone.",
        ),
    ] = None
    name: Name = ""

    def __post_init__(self) -> None:
        values = self.at if isinstance(self.at, tuple) else (self.at,)
        if not values or not all(math.isfinite(value) for value in values):
            raise ValueError("at must be a finite number, or a list of them")
        if self.column is not None and isinstance(self.at, tuple):
            raise ValueError("with 'column' there is one decision: give 'at' as one number")

    def after(self, info: ModelInfo) -> ModelInfo:
        """BOOL of the same shape, or INT64 without the last dimension."""
        at, spec = self._source(info)
        if self.column is None:
            result = TensorSpec(self.name or spec.name, "BOOL", spec.shape)
        else:
            result = TensorSpec(self.name or spec.name, "INT64", spec.shape[:-1])
        return beside(info, at, self.name, result)

    def bind(self, info: ModelInfo) -> Kernel:
        """The kernel; thresholds are of the output's own type, as numpy and scikit-learn compare.

        Otherwise a score of 0.7 in FP32, a little less than 0.7, would not reach 0.7.
        """
        _, spec = self._source(info)
        name, datatype = spec.name, spec.datatype
        result, column = self.name or spec.name, self.column
        least = np.asarray(self.at, NUMPY[datatype])
        classes = len(self.at) if isinstance(self.at, tuple) else 0

        def threshold(tensors: Tensors) -> Tensors:
            at = find(tensors, name, datatype)
            values = tensors[at].array()
            width = values.shape[-1] if values.ndim else 0
            if (classes and width != classes) or (column is not None and width <= column):
                needed = classes or f"more than {column}"
                raise BadAnswer(f"output '{name}': {width} classes came, threshold needs {needed}")
            if column is None:
                return placed(tensors, at, made(result, "BOOL", values >= least))
            chosen = (values[..., column] >= least).astype(np.int64)
            return placed(tensors, at, made(result, "INT64", chosen))

        return threshold

    def _source(self, info: ModelInfo) -> tuple[int, TensorSpec]:
        needs_classes = self.column is not None or isinstance(self.at, tuple)
        at = self.place(info, rank=1 if needs_classes else 0)
        spec = info.outputs[at]
        width = spec.shape[-1] if needs_classes else -1
        if isinstance(self.at, tuple) and width not in {-1, len(self.at)}:
            raise Misfit(
                f"'at' has {len(self.at)} thresholds, but output '{spec.name}' "
                f"{list(spec.shape)} has {width} classes"
            )
        if self.column is not None and -1 < width <= self.column:
            raise Misfit(f"there is no column {self.column}: '{spec.name}' has {width} classes")
        return at, spec


def expit(values: Array) -> Array:
    """``1 / (1 + exp(-x))`` without an overflow: only powers of numbers below 0 are taken."""
    powers = np.exp(-np.abs(values))
    result: Array = np.where(values >= 0, 1, powers) / (1 + powers)
    return result


def softmax(values: Array, axis: int = -1) -> Array:
    """Probabilities along *axis* that sum to 1, of the floating-point type of *values*."""
    powers: Array = np.exp(values - values.max(axis=axis, keepdims=True))
    powers /= powers.sum(axis=axis, keepdims=True)
    return powers
