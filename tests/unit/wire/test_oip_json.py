# SPDX-License-Identifier: Apache-2.0
"""Tensor data as JSON."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.wire.oip_json import CODE, decode_values, depth_of, flatten, json_data, pack_values
from gateway.wire.tensor import NUMPY, Tensor


@given(
    st.sampled_from(sorted(CODE)).flatmap(
        lambda datatype: st.tuples(
            st.just(datatype), st.binary(max_size=200 * NUMPY[datatype].itemsize)
        )
    )
)
def test_finite_values_survive_the_way_to_json_and_back(case: tuple[str, bytes]) -> None:
    """What is written reads back as the same bits, short and long tensors alike."""
    datatype, data = case
    dtype = NUMPY[datatype]
    data = data[: len(data) - len(data) % dtype.itemsize]
    if datatype == "BOOL":
        data = bytes(byte & 1 for byte in data)
    array = np.frombuffer(data, dtype)
    if dtype.kind == "f":
        array = np.where(np.isfinite(array), array, dtype.type(0)).astype(dtype)
    tensor = Tensor.of("x", array, datatype=datatype)

    text = json_data(tensor)
    values = decode_values(msgspec.Raw(text), datatype, tensor.shape, "x")

    assert pack_values(values, datatype, "x") == array.tobytes()


def test_float32_is_written_with_the_digits_it_needs() -> None:
    """0.1 stays 0.1, not the seventeen digits of the double next to it."""
    assert json_data(Tensor.of("x", np.array([0.1, 16777216], np.float32))) == b"[0.1,16777216.0]"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite_becomes_null(dtype: type[np.floating]) -> None:
    """JSON has no NaN, and a made-up number would be worse than none."""
    values = np.array([np.nan, np.inf, -np.inf, 1], dtype)
    assert json_data(Tensor.of("x", values)) == b"[null,null,null,1.0]"


@pytest.mark.parametrize("datatype", [*sorted(CODE), "BYTES"])
def test_an_empty_tensor_is_an_empty_list(datatype: str) -> None:
    """Whatever its datatype."""
    assert json_data(Tensor("x", datatype, (0, 3), b"")) == b"[]"


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_halves_are_not_written(datatype: str) -> None:
    """The refusal names the output and the way out."""
    with pytest.raises(InvalidRequest, match=r"output 'x': .*parameter binary_data\)"):
        json_data(Tensor("x", datatype, (1,), b"\0\0"))


def test_bytes_that_are_not_text_are_not_written() -> None:
    """JSON is UTF-8; guessing an encoding would change the data."""
    text = Tensor.of("x", np.array(["ä", "\0"], dtype=object))
    assert json.loads(json_data(text)) == ["ä", "\0"]
    with pytest.raises(InvalidRequest, match="output 'x' holds bytes that are not UTF-8"):
        json_data(Tensor.of("x", np.array([b"\xff"], dtype=object)))


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=4))
def test_flatten_takes_only_lists_of_the_shape(nested: list[list[int]]) -> None:
    """A ragged list is never a tensor."""
    width = len(nested[0]) if nested else 0
    if all(len(row) == width for row in nested):
        flat = flatten(nested, (len(nested), width), "x")
        assert flat == [value for row in nested for value in row]
    else:
        with pytest.raises(InvalidRequest, match="input 'x': a list at depth 2"):
            flatten(nested, (len(nested), width), "x")


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (b"", 0), (b"1", 0), (b"[]", 1), (b'{"a":[1]}', 2), (b'["[[["]', 1),
        (b'["\\"[[",[]]', 2), (b'["\\\\",[[]]]', 3), (b'"[[[', 0), (b"]]][", 0),
    ],
)  # fmt: skip
def test_depth_counts_brackets_outside_of_strings(text: bytes, depth: int) -> None:
    """Text is not structure, closed properly or not."""
    assert depth_of(text) == depth
