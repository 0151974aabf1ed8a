# SPDX-License-Identifier: Apache-2.0
"""Tensor: numpy on one side, bytes on the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.errors import InvalidRequest
from gateway.wire.tensor import (
    ITEM_SIZE,
    NUMPY,
    Tensor,
    element_ends,
    join_elements,
    split_elements,
)

FIXED = sorted(set(NUMPY) - {"BYTES"})
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


def test_covers_the_datatypes_of_the_protocol() -> None:
    """Fourteen: the thirteen of the specification and BF16."""
    assert len(ITEM_SIZE) == 14
    assert set(ITEM_SIZE) == set(NUMPY)
    for datatype in FIXED:
        assert NUMPY[datatype].itemsize == ITEM_SIZE[datatype]


@given(st.data(), st.sampled_from(FIXED))
def test_an_array_survives_the_way_through_bytes(data: st.DataObject, datatype: str) -> None:
    """Every datatype and shape, scalars and empty ones included."""
    given_array = data.draw(hnp.arrays(NUMPY[datatype], SHAPES))
    tensor = Tensor.of("x", given_array, datatype=datatype)
    assert tensor.datatype == datatype
    assert tensor.nbytes == given_array.nbytes == len(bytes(tensor.data))
    back = Tensor("x", datatype, tensor.shape, bytes(tensor.data)).array()
    assert back.shape == given_array.shape
    assert back.tobytes() == given_array.tobytes()


@given(st.data())
def test_elements_survive_the_way_through_bytes(data: st.DataObject) -> None:
    """BYTES elements keep their zeros, in front, within and behind."""
    shape = data.draw(SHAPES)
    count = int(np.prod(shape))
    elements = data.draw(st.lists(st.binary(max_size=9), min_size=count, max_size=count))
    array = np.empty(count, object)
    array[:] = elements
    tensor = Tensor.of("x", array.reshape(shape))
    back = tensor.array()
    assert back.shape == shape
    assert back.ravel().tolist() == elements


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.zeros(2, "?"), "BOOL"),
        (np.zeros(2, ">f4"), "FP32"),
        (np.zeros(2, ">i8"), "INT64"),
        (np.array(["a", "ü"]), "BYTES"),
        (np.array([b"a"]), "BYTES"),
        (np.array([1, "x"], object), "BYTES"),
    ],
)
def test_the_datatype_follows_from_the_array(array: np.ndarray, datatype: str) -> None:
    """Any byte order is taken; text and objects become BYTES."""
    assert Tensor.of("x", array).datatype == datatype


def test_big_endian_becomes_little() -> None:
    """The wire has one byte order."""
    assert bytes(Tensor.of("x", np.array([1], ">i4")).data) == b"\1\0\0\0"


def test_columns_first_becomes_rows_first() -> None:
    """The wire has one element order."""
    array = np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3))
    assert Tensor.of("x", array).array().tolist() == array.tolist()
    assert Tensor.of("x", array[:, ::2]).array().tolist() == array[:, ::2].tolist()


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", "V4", "float128"])
def test_refuses_what_has_no_datatype(dtype: str) -> None:
    """The message names the tensor and the type."""
    with pytest.raises(InvalidRequest, match=r"tensor 'x': numpy type .* has no datatype"):
        Tensor.of("x", np.zeros(1, dtype))


def test_a_contiguous_array_is_not_copied() -> None:
    """A tensor of it is a view."""
    array = np.arange(4, dtype=np.float32)
    assert np.shares_memory(Tensor.of("x", array).array(), array)


@pytest.mark.parametrize("data", [b"\0\0\0\0", bytearray(4), memoryview(bytearray(4))])
def test_a_view_cannot_be_written(data: bytes | bytearray | memoryview) -> None:
    """Batches and caches share buffers."""
    view = Tensor("x", "FP32", (1,), data).array()
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


def test_owned_lets_go_of_a_larger_buffer() -> None:
    """A slice kept in a cache must not keep a whole body."""
    body = bytearray(100)
    owned = Tensor("x", "UINT8", (4,), memoryview(body)[:4]).owned()
    assert owned.data == b"\0\0\0\0"
    body.append(1)  # raises BufferError while anything looks into it
    assert owned.owned() is owned


def test_a_scalar_is_one_row() -> None:
    """Rows are the first dimension, where there is one."""
    assert Tensor("x", "FP32", (), b"\0" * 4).rows == 1
    assert Tensor("x", "FP32", (0, 3), b"").rows == 0


# BYTES.


def test_elements_of_any_kind_are_joined_as_text() -> None:
    """Bytes as they are, text as UTF-8, anything else as Python spells it."""
    assert join_elements([b"\xff", "ü", 7]) == b"\1\0\0\0\xff\2\0\0\0\xc3\xbc\1\0\0\x007"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\1\0\0", "3 bytes left where a 4-byte element length begins"),
        (b"\2\0\0\0a", "element 0 declares 2 bytes, 1 are left"),
        (b"\0\0\0\0\xff\xff\xff\xff", "element 1 declares 4294967295 bytes, 0 are left"),
    ],
)
def test_a_length_beyond_the_end_is_refused(data: bytes, said: str) -> None:
    """Nothing is read that is not there; the message names tensor, element and sizes."""
    with pytest.raises(InvalidRequest, match=f"tensor 'x': {said}"):
        element_ends(data, "x")


def test_a_wrong_number_of_elements_is_refused() -> None:
    """The shape and the data must agree."""
    with pytest.raises(InvalidRequest, match="2 elements expected, 1 found"):
        split_elements(b"\0\0\0\0", 2, "x")
    with pytest.raises(InvalidRequest, match="1 elements expected, 2 found"):
        Tensor("x", "BYTES", (1,), b"\0\0\0\0" * 2).array()


@given(st.binary(max_size=64), st.integers(0, 8))
def test_any_bytes_are_elements_or_refused(data: bytes, count: int) -> None:
    """Never another error, and what is taken joins to the same bytes again."""
    try:
        elements = split_elements(memoryview(data), count, "x")
    except InvalidRequest:
        return
    assert len(elements) == count
    assert join_elements(elements) == data
