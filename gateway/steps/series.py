# SPDX-License-Identifier: Apache-2.0
"""Series: tensors whose last dimension is time, as the steps on signals take them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.errors import InvalidRequest
from gateway.steps.step import FLOATS, Misfit, buffer
from gateway.wire.tensor import NUMPY, Tensor

if TYPE_CHECKING:
    from gateway.wire.model import TensorSpec
    from gateway.wire.tensor import Array

# What a step may make of one request, as it computes; a short hop makes much of little.
_MAX_BYTES: Final = 256 << 20


def needs_floats(spec: TensorSpec, kind: str, rank: int, *, batched: bool) -> None:
    """Raise Misfit unless *spec* is of floats, with *rank* dimensions at least behind the batch."""
    if spec.datatype not in FLOATS or len(spec.shape) < rank + batched:
        raise Misfit(
            f"input '{spec.name}' is {spec.datatype}{list(spec.shape)} here; {kind} gives "
            f"{'/'.join(sorted(FLOATS))} of at least {rank + batched} dimensions"
        )


def read(tensor: Tensor, given: TensorSpec) -> Array:
    """The values of *tensor* as FP64; raises InvalidRequest unless its shape is as *given*."""
    fits = len(tensor.shape) == len(given.shape) and all(
        expected in {-1, extent} for extent, expected in zip(tensor.shape, given.shape, strict=True)
    )
    if not fits:
        raise InvalidRequest(
            f"input '{tensor.name}': shape {list(tensor.shape)} given, {list(given.shape)} "
            "expected, where -1 is any number"
        )
    # Sums of thousands of samples need more digits than their last step keeps.
    return tensor.array().astype(np.float64)


def bound(name: str, shape: tuple[int, ...]) -> None:
    """Raise InvalidRequest where FP64 numbers of *shape* would take too much memory."""
    if prod(shape) * 8 > _MAX_BYTES:
        raise InvalidRequest(
            f"input '{name}': {list(shape)} numbers would be made of it, at most "
            f"{_MAX_BYTES // 8} are"
        )


def written(values: Array, spec: TensorSpec, *, kind: str) -> Tensor:
    """*values* as the model's input *spec*; raises InvalidRequest where their shape is another."""
    fits = values.ndim == len(spec.shape) and all(
        expected in {-1, extent} for extent, expected in zip(values.shape, spec.shape, strict=True)
    )
    if not fits:
        raise InvalidRequest(
            f"input '{spec.name}': {kind} makes {list(values.shape)} of it, but the model takes "
            f"{list(spec.shape)}; a longer or shorter series is expected"
        )
    flat = np.ascontiguousarray(values, NUMPY[spec.datatype]).reshape(-1)
    return Tensor(spec.name, spec.datatype, values.shape, buffer(flat))
