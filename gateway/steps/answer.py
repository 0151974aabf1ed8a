# SPDX-License-Identifier: Apache-2.0
"""Answer: how an output step reads one output and puts what it made in its place or beside it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
import numpy as np

from gateway.errors import BadAnswer
from gateway.steps.step import Tensors, added, buffer, replaced
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import NUMPY, Array, Tensor

Name = Annotated[
    str,
    msgspec.Meta(
        description="Name of a further output for the result; without it the result takes the "
        "place of the output it was made of."
    ),
]

_SINGLE: Final = np.dtype("<f4")


def wide(datatype: str) -> np.dtype[Any]:
    """The type that values of a floating-point *datatype* are computed in: FP32 for FP16."""
    return _SINGLE if datatype == "FP16" else NUMPY[datatype]


def scores(tensor: Tensor, axis: int) -> Array:
    """The values of *tensor*, with classes along *axis*; raises BadAnswer where there are none."""
    values = tensor.array()
    if values.ndim <= max(axis, 0) or not values.shape[axis]:
        raise BadAnswer(f"output '{tensor.name}': shape {list(tensor.shape)} has no classes")
    return values


def made(name: str, datatype: str, array: Array) -> Tensor:
    """The tensor of an *array* that nobody else holds, of the type of *datatype*."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return Tensor(name, datatype, array.shape, buffer(flat))


def put(tensors: Tensors, at: int, tensor: Tensor) -> Tensors:
    """*tensors* with *tensor* in place *at*."""
    return (*tensors[:at], tensor, *tensors[at + 1 :])


def placed(tensors: Tensors, at: int, tensor: Tensor) -> Tensors:
    """*tensor* in place *at*, or behind all *tensors* where its name is not the one found there."""
    return put(tensors, at, tensor) if tensors[at].name == tensor.name else (*tensors, tensor)


def beside(info: ModelInfo, at: int, name: str, spec: TensorSpec) -> ModelInfo:
    """*info* with *spec* in place *at*, or, if it has a *name* of its own, as a further output.

    A further output has the labels of the one it was made of. Raises Misfit where its name is
    taken.
    """
    if not name:
        return msgspec.structs.replace(info, outputs=replaced(info.outputs, at, spec))
    labels = dict(info.labels)
    if names := labels.get(info.outputs[at].name):
        labels[name] = names
    return msgspec.structs.replace(info, outputs=added(info.outputs, spec), labels=labels)
