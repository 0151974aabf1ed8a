# SPDX-License-Identifier: Apache-2.0
"""Another server's answer as tensors; what does not fit is refused in integration too."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadAnswer
from gateway.wire.model import TensorSpec
from gateway.wire.oip_reply import decode_reply, failure_text
from gateway.wire.tensor import Tensor


def read(datatype: str, data: Any, shape: tuple[int, ...] = (2,)) -> Tensor:
    """The output ``y`` of an answer with *data*."""
    output = {"name": "y", "datatype": datatype, "shape": shape, "data": data}
    body = json.dumps({"id": "1", "outputs": [output]}).encode()
    return decode_reply(body, None, {"y": TensorSpec("y", datatype, (-1,))}).outputs[0]


@pytest.mark.parametrize(
    ("datatype", "data", "expected"),
    [
        ("BOOL", [True, False], [True, False]),
        ("BOOL", [1, 0], [True, False]),
        ("UINT8", [0, 255], [0, 255]),
        ("INT8", [-128, 127], [-128, 127]),
        ("UINT64", [0, 2**64 - 1], [0, 2**64 - 1]),
        ("INT64", [-(2**63), 2**63 - 1], [-(2**63), 2**63 - 1]),
        ("FP32", [1, 2.5], [1, 2.5]),
        ("FP16", [1.5, -2], [1.5, -2]),
        ("BYTES", ["a", "é"], [b"a", "é".encode()]),
    ],
)
def test_values_become_the_tensor_of_their_datatype(
    datatype: str, data: list[Any], expected: list[Any]
) -> None:
    """As numbers, truth values and text."""
    assert read(datatype, data).array().tolist() == expected


@pytest.mark.parametrize(
    ("datatype", "data"), [("INT32", [[1, 2], [3, 4]]), ("BYTES", [["a", "b"], ["c", "d"]])]
)
def test_data_may_be_nested(datatype: str, data: Any) -> None:
    """As flat, in row-major order."""
    nested = read(datatype, data, (2, 2)).array()
    flat = read(datatype, [each for row in data for each in row], (2, 2)).array()
    assert nested.tolist() == flat.tolist()


def test_null_is_no_number() -> None:
    """JSON has no NaN, so that servers write null."""
    values = read("FP32", [None, 1.0]).array()
    assert np.isnan(values[0])
    assert values[1] == 1


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("UINT8", [0, 256]), ("UINT8", [-1, 0]), ("INT64", [0, 2**63]), ("UINT64", [-1, 2**63]),
        ("INT32", [1.5, 2.0]), ("INT32", [True, False]), ("INT32", ["1", "2"]),
        ("INT32", [None, 1]), ("BOOL", [0, 2]), ("BOOL", [0.0, 1.0]), ("FP32", ["1", "2"]),
        ("FP32", [True, False]), ("FP32", [[1.0], [1.0, 2.0]]), ("FP32", {"a": 1}),
        ("BYTES", ["a", 1]), ("BYTES", ["a", ["b"]]), ("BYTES", [None, "a"]), ("BYTES", "ab"),
        ("INT32", [1]), ("INT32", [1, 2, 3]), ("INT32", []),
    ],
)  # fmt: skip
def test_other_values_are_refused(datatype: str, data: Any) -> None:
    """With the name of the output."""
    with pytest.raises(BadAnswer, match="output 'y'"):
        read(datatype, data)


def test_outputs_come_in_the_order_asked_for() -> None:
    """Others are left out, be they binary or not."""
    specs = {name: TensorSpec(name, "UINT8", (-1,)) for name in "abc"}
    outputs = [
        {"name": "c", "datatype": "UINT8", "shape": [1], "parameters": {"binary_data_size": 1}},
        {"name": "x", "datatype": "X", "shape": [1], "parameters": {"binary_data_size": 2}},
        {"name": "b", "datatype": "UINT8", "shape": ["1"], "data": [2]},
        {"name": "a", "datatype": "UINT8", "shape": [1], "parameters": {"binary_data_size": 1}},
    ]
    head = json.dumps({"outputs": outputs, "model_version": 3}).encode()
    body = head + b"\x03xx\x01"
    reply = decode_reply(body, str(len(head)), specs, ["b", "c", "b"])
    assert [each.name for each in reply.outputs] == ["b", "c"]
    assert [bytes(each.data) for each in reply.outputs] == [b"\x02", b"\x03"]
    assert (reply.id, reply.model, reply.version) == ("", "", "3")
    everything = decode_reply(body, str(len(head)), specs)
    assert [each.name for each in everything.outputs] == ["a", "b", "c"]


def test_a_binary_output_holds_what_its_shape_says() -> None:
    """In bytes, or in elements with their lengths."""
    for datatype, blob in (("FP32", b"1234"), ("BYTES", b"\x01\0\0\0a"), ("BYTES", b"\xff\0\0\0")):
        output = {"name": "y", "datatype": datatype, "shape": [2],
                  "parameters": {"binary_data_size": len(blob)}}  # fmt: skip
        head = json.dumps({"outputs": [output]}).encode()
        with pytest.raises(BadAnswer, match="'y'"):
            decode_reply(head + blob, str(len(head)), {"y": TensorSpec("y", datatype, (-1,))})


def test_an_empty_output_is_one() -> None:
    """Of any shape with a zero in it."""
    assert read("FP32", [], (0, 3)).shape == (0, 3)
    assert read("BYTES", [], (0,)).nbytes == 0


@given(st.binary(max_size=200), st.one_of(st.none(), st.text(max_size=5)))
def test_any_bytes_are_an_answer_or_a_bad_one(body: bytes, length: str | None) -> None:
    """Nothing else is raised, whatever a server sends."""
    with suppress(BadAnswer):
        decode_reply(body, length, {"y": TensorSpec("y", "FP32", (-1,))})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error":"no\\nsuch  thing"}', "no such thing"),
        (b'{"detail":"not found"}', "not found"),
        (b'{"message":"later"}', "later"),
        (b'{"error":{"code":7}}', '{"error":{"code":7}}'),
        (b"<html>\r\n<b>502</b>", "<html> <b>502</b>"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (b"", ""),
        (b"x" * 600, "x" * 500),
        (b'{"error":"' + b"y" * 600 + b'"}', "y" * 500 + "…"),
    ],
)
def test_a_failure_is_told_on_one_line(body: bytes, text: str) -> None:
    """In the server's words where it has any, and never at length."""
    assert failure_text(body) == text
