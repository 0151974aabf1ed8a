# SPDX-License-Identifier: Apache-2.0
"""Normalize row: every row brought to one size by numbers of its own, as for sounds and series."""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np

from gateway.steps.series import needs_floats, read
from gateway.steps.step import Change, OneInput, buffer
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import NUMPY, Array, Tensor


class NormalizeRow(OneInput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """standard: ``(x - mean) / sqrt(var + epsilon)``, var with ddof 0.

    peak: ``x / max(|x|, epsilon)``; min_max: ``(x - min) / max(max - min, epsilon)``; all of the
    row alone.
    """

    kind: ClassVar[str] = "normalize_row"
    inline_bytes: ClassVar[int] = 256 << 10

    by: Annotated[
        Literal["standard", "peak", "min_max"],
        msgspec.Meta(description="Mean 0 and variance 1, the loudest at 1, or from 0 to 1."),
    ] = "standard"
    over: Annotated[
        Literal["row", "last"],
        msgspec.Meta(description="All numbers of a row together, or each of its last dimension."),
    ] = "row"
    epsilon: Annotated[
        float, msgspec.Meta(gt=0, le=1, description="What keeps a flat row from a division by 0.")
    ] = 1e-7

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:
        """The same."""
        needs_floats(spec, self.kind, 1, batched=batched)
        return spec

    def change(self, spec: TensorSpec, *, batched: bool) -> Change:
        """A few passes, computed as FP64."""
        datatype, dtype, epsilon = spec.datatype, NUMPY[spec.datatype], self.epsilon
        axes = batched if self.over == "row" else -1

        def normalize_row(tensor: Tensor) -> Tensor:
            shape = tensor.shape
            kept = (shape[:1] if axes else ()) if axes >= 0 else shape[:-1]
            values = read(tensor, spec).reshape(*kept, prod(shape[len(kept) :]))
            made = _scaled(values, self.by, epsilon) if values.size else values
            return Tensor(tensor.name, datatype, shape, buffer(made.astype(dtype).reshape(-1)))

        return normalize_row


def _scaled(values: Array, by: str, epsilon: float) -> Array:
    if by == "standard":
        apart = values - values.mean(axis=-1, keepdims=True)
        standard: Array = apart / np.sqrt((apart * apart).mean(axis=-1, keepdims=True) + epsilon)
        return standard
    if by == "peak":
        peak: Array = values / np.maximum(np.abs(values).max(axis=-1, keepdims=True), epsilon)
        return peak
    lowest = values.min(axis=-1, keepdims=True)
    width = np.maximum(values.max(axis=-1, keepdims=True) - lowest, epsilon)
    min_max: Array = (values - lowest) / width
    return min_max
