# SPDX-License-Identifier: Apache-2.0
"""Between a tensor on the wire and a value that onnxruntime takes or gives."""

from __future__ import annotations

import ctypes
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
from onnxruntime import OrtValue

from gateway.errors import InvalidRequest
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import NUMPY, Array, Tensor, split_elements

Feed: TypeAlias = dict[str, Any]

# onnxruntime's name of an element type -> v2 datatype.
DATATYPE: Final[dict[str, str]] = {
    "tensor(bool)": "BOOL", "tensor(string)": "BYTES", "tensor(bfloat16)": "BF16",
    "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16", "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64", "tensor(int8)": "INT8", "tensor(int16)": "INT16",
    "tensor(int32)": "INT32", "tensor(int64)": "INT64", "tensor(float16)": "FP16",
    "tensor(float)": "FP32", "tensor(double)": "FP64",
}  # fmt: skip
_ONNX_BFLOAT16: Final = 16


def array_of(tensor: Tensor) -> Array:
    """The array that onnxruntime reads *tensor* from; a view of its buffer where that is possible.

    Raises InvalidRequest for text that is not UTF-8, a length that does not fit the shape, and a
    BOOL element that is neither 0 nor 1.
    """
    if tensor.datatype == "BYTES":
        return _text(tensor)
    array = tensor.array()
    if not array.flags.aligned:
        # Small frames lie packed behind one another; kernels may rely on whole elements.
        array = array.copy()
    if tensor.datatype == "BOOL" and array.size and array.view(np.uint8).max() > 1:
        raise InvalidRequest(f"input '{tensor.name}': a BOOL element is 0 or 1, nothing else")
    return array


def _text(tensor: Tensor) -> Array:
    elements = split_elements(tensor.data, prod(tensor.shape), tensor.name)
    array = np.empty(len(elements), dtype=object)
    for index, element in enumerate(elements):
        try:
            array[index] = element.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                f"input '{tensor.name}': element {index} is not UTF-8 ({error.reason} at byte "
                f"{error.start}), and text in ONNX is"
            ) from error
    return array.reshape(tensor.shape)


def tensor_of(spec: TensorSpec, array: Array) -> Tensor:
    """The tensor of an output *array*, sharing its memory."""
    return Tensor.of(spec.name, array, datatype=None if spec.datatype == "BYTES" else spec.datatype)


def ort_value_of(datatype: str, array: Array) -> OrtValue:
    """*array* as an OrtValue, which can be BF16 while an array cannot; it shares the memory."""
    if datatype == "BF16":
        return OrtValue.ortvalue_from_numpy_with_onnx_type(array, _ONNX_BFLOAT16)
    return OrtValue.ortvalue_from_numpy(array)


def tensor_of_ort_value(spec: TensorSpec, value: OrtValue) -> Tensor:
    """The tensor of an output *value*; BF16 is copied out of onnxruntime's memory."""
    if spec.datatype != "BF16":
        return tensor_of(spec, value.numpy())
    size = 2 * prod(value.shape())
    data = ctypes.string_at(value.data_ptr(), size) if size else b""
    return Tensor(spec.name, "BF16", tuple(value.shape()), data)


def made_up(spec: TensorSpec, rows: int) -> Tensor:
    """A tensor that fits *spec*: a free first dimension is *rows*, other free ones are 1.

    All zeros, since 0 is an index in every table; "0" for text, since it reads as a number too.
    """
    shape = tuple(
        (rows if axis == 0 else 1) if size < 0 else size for axis, size in enumerate(spec.shape)
    )
    if spec.datatype == "BYTES":
        return Tensor.of(spec.name, np.full(shape, "0", dtype=object))
    return Tensor.of(spec.name, np.zeros(shape, NUMPY[spec.datatype]), datatype=spec.datatype)
