# SPDX-License-Identifier: Apache-2.0
"""Tensors into onnxruntime and out of it."""

from __future__ import annotations

import numpy as np
import pytest

from backends.tensors import array_of, made_up, ort_value_of, tensor_of, tensor_of_ort_value
from gateway.errors import InvalidRequest
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import ITEM_SIZE, Tensor


def test_an_array_shares_the_memory_of_its_tensor() -> None:
    """A large input is not copied on its way to the model."""
    data = np.arange(6, dtype=np.float32).tobytes()
    array = array_of(Tensor("x", "FP32", (3, 2), memoryview(data)))
    assert np.shares_memory(array, np.frombuffer(data, np.float32))
    assert array.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_a_misplaced_tensor_is_moved() -> None:
    """Kernels may rely on elements that begin at a multiple of their size."""
    data = b"\0" + np.arange(3, dtype=np.float64).tobytes()
    offset = 1 if np.frombuffer(data, np.uint8).ctypes.data % 8 == 0 else 0
    shifted = memoryview(b"\0" * offset + data[1:])[offset:]
    array = array_of(Tensor("x", "FP64", (3,), shifted))
    assert array.flags.aligned
    assert array.tolist() == [0, 1, 2]


def test_bytes_become_text() -> None:
    """Text may hold any character, a zero byte included."""
    tensor = Tensor.of("x", np.array([["a", "é\0b"]], dtype=object))
    assert array_of(tensor).tolist() == [["a", "é\0b"]]


def test_bytes_that_are_not_text_are_refused() -> None:
    """The message names the tensor and the element."""
    tensor = Tensor.of("x", np.array([b"fine", b"\xff"], dtype=object))
    with pytest.raises(InvalidRequest, match=r"'x': element 1 is not UTF-8"):
        array_of(tensor)


def test_a_bool_is_0_or_1() -> None:
    """Another byte in a C++ bool is undefined behaviour inside the model."""
    assert array_of(Tensor("x", "BOOL", (2,), b"\0\1")).tolist() == [False, True]
    with pytest.raises(InvalidRequest, match="0 or 1"):
        array_of(Tensor("x", "BOOL", (2,), b"\0\2"))


@pytest.mark.parametrize("shape", [(2, 1), (0, 2), ()])
def test_bf16_goes_through_an_ort_value_unchanged(shape: tuple[int, ...]) -> None:
    """There is no such type in numpy: the two bytes of each element are passed on as they are."""
    size = int(np.prod(shape, dtype=int))
    data = np.array([0x3F80, 0x7FC0], np.uint16)[:size].tobytes()
    tensor = Tensor("x", "BF16", shape, data)
    value = ort_value_of("BF16", array_of(tensor))
    back = tensor_of_ort_value(TensorSpec("y", "BF16", shape), value)
    assert (back.datatype, back.shape, bytes(back.data)) == ("BF16", shape, data)


def test_an_output_shares_the_memory_of_its_array() -> None:
    """A large output is not copied on its way to the socket."""
    array = np.ones((2, 3), np.float32)
    tensor = tensor_of(TensorSpec("y", "FP32", (-1, 3)), array)
    assert isinstance(tensor.data, memoryview)
    assert np.shares_memory(np.frombuffer(tensor.data, np.float32), array)


@pytest.mark.parametrize("datatype", ITEM_SIZE)
def test_made_up_tensors_fit_their_spec(datatype: str) -> None:
    """Free dimensions are 1, but the first has as many rows as wanted."""
    tensor = made_up(TensorSpec("x", datatype, (-1, -1, 3)), 2)
    assert (tensor.datatype, tensor.shape) == (datatype, (2, 1, 3))
    assert tensor.nbytes == 6 * (ITEM_SIZE[datatype] or 5)
    assert made_up(TensorSpec("x", datatype, ()), 2).shape == ()
    assert made_up(TensorSpec("x", datatype, (4,)), 2).shape == (4,)
