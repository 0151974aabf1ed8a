# SPDX-License-Identifier: Apache-2.0
"""The binary tensor extension in requests."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ClientError, InvalidRequest
from gateway.wire.message import InferRequest
from gateway.wire.oip import decode_request
from gateway.wire.oip_binary import check_elements
from gateway.wire.oip_parameters import BINARY
from gateway.wire.signature import Signature
from gateway.wire.tensor import ITEM_SIZE, NUMPY, Tensor
from tests.support.edge import model


def described(tensor: Tensor, **changes: Any) -> dict[str, Any]:
    """The JSON part of *tensor* as a binary input."""
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "datatype": tensor.datatype,
        "parameters": {"binary_data_size": tensor.nbytes},
        **changes,
    }


def decode(
    signature: Signature, inputs: list[dict[str, Any]], *blobs: Any, kind: Any = bytes
) -> InferRequest:
    """The request of *inputs* with *blobs* behind the JSON part."""
    text = json.dumps({"inputs": inputs}).encode()
    data = kind(b"".join((text, *[bytes(blob) for blob in blobs])))
    return decode_request(data, signature, header_length=len(text))


def one(datatype: str, shape: tuple[int, ...] = (-1,), **options: Any) -> Signature:
    """A model with the one input "x"."""
    return Signature(model(inputs=[("x", datatype, shape)], **options))


@pytest.mark.parametrize("datatype", sorted(set(ITEM_SIZE) - {"BYTES"}))
@pytest.mark.parametrize("rows", [0, 1, 3, 2000])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_datatype_travels_as_its_bytes(datatype: str, rows: int, kind: Any) -> None:
    """Halves too, and tensors without elements; the buffer is the blob."""
    array = (np.arange(rows * 2) % 2).astype(NUMPY[datatype]).reshape(rows, 2)
    sent = Tensor.of("x", array, datatype=datatype)

    request = decode(one(datatype, (-1, 2)), [described(sent)], sent.data, kind=kind)

    (got,) = request.inputs
    assert (got.datatype, got.shape) == (datatype, (rows, 2))
    assert bytes(got.data) == array.tobytes()


@given(st.lists(st.binary(max_size=12), max_size=6))
def test_strings_travel_with_their_lengths(elements: list[bytes]) -> None:
    """Any bytes, the empty string included."""
    sent = Tensor.of("x", np.array([*elements, None], dtype=object)[:-1])

    request = decode(one("BYTES"), [described(sent)], sent.data)

    assert request.inputs[0].array().tolist() == elements


def test_binary_and_json_inputs_mix() -> None:
    """Blobs follow in the order of the inputs that announce one."""
    signature = Signature(
        model(inputs=[("a", "INT8", (-1,)), ("b", "FP32", (-1,)), ("c", "INT16", (-1,))])
    )
    a = Tensor.of("a", np.array([1], np.int8))
    c = Tensor.of("c", np.array([-2], np.int16))
    b = {"name": "b", "shape": [1], "datatype": "FP32", "data": [0.5]}

    request = decode(signature, [described(c), b, described(a)], c.data, a.data)

    assert {tensor.name: tensor.array().tolist() for tensor in request.inputs} == {
        "a": [1], "b": [0.5], "c": [-2],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "blob", "says"),
    [
        ({}, b"1234567", "binary_data_size is 8, 7 bytes are left in the body"),
        ({}, b"123456789", "1 bytes are left behind the last binary input"),
        ({"shape": [2, 2]}, b"12345678", r"FP32\[2, 2\] takes 16 bytes, binary_data_size is 8"),
        ({"shape": [1, 3]}, b"12345678", r"shape \[1, 3\] does not fit"),
        ({"data": [1, 2]}, b"12345678", "exactly one of"),
        ({"parameters": {}}, b"12345678", "exactly one of"),
        ({"parameters": {"binary_data_size": -1}}, b"", "must be an integer from 0"),
        ({"parameters": {"binary_data_size": "8"}}, b"", "must be an integer from 0"),
        ({"parameters": {"binary_data_size": True}}, b"", "must be an integer from 0"),
        ({"parameters": {"binary_data_size": 2**63}}, b"", "9223372036854775808, 0 bytes are left"),
    ],
)
def test_a_blob_that_does_not_fit_is_refused(
    changes: dict[str, Any], blob: bytes, says: str
) -> None:
    """Sizes that are announced, sizes that follow from the shape, and the body must agree."""
    sent = Tensor.of("x", np.array([[1, 2]], np.float32))
    with pytest.raises(InvalidRequest, match=says):
        decode(one("FP32", (-1, 2)), [described(sent, **changes)], blob)


def test_a_blob_needs_the_header() -> None:
    """Without it nobody can say where the JSON part ends."""
    sent = Tensor.of("x", np.array([1], np.float32))
    text = json.dumps({"inputs": [described(sent)]}).encode()
    with pytest.raises(InvalidRequest, match="header Inference-Header-Content-Length is missing"):
        decode_request(text, one("FP32"))


def test_a_truth_value_is_0_or_1() -> None:
    """Any other byte means something else on each side."""
    sent = Tensor("x", "BOOL", (3,), b"\0\2\1")
    with pytest.raises(InvalidRequest, match="a BOOL element is a byte of 0 or 1"):
        decode(one("BOOL"), [described(sent)], sent.data)


@pytest.mark.parametrize(
    ("blob", "says"),
    [
        (b"", "2 elements take at least 8 bytes"),
        (b"\1\0\0\0a\0\0\0\0\0\0\0\0", "3 found"),
        (b"\1\0\0\0a\0\0\0\0\0", "1 bytes are left behind element 1"),
        (b"\0\0\0\0\xff\xff\xff\xff", "element 1 reaches past the end"),
    ],
)
def test_strings_must_add_up(blob: bytes, says: str) -> None:
    """Lengths and count agree with the blob to the byte."""
    with pytest.raises(InvalidRequest, match=says):
        check_elements(blob, 2, "x")


@pytest.mark.parametrize(
    ("spec", "body", "shape"),
    [
        (("INT16", (-1, 2)), b"1234", (1, 2)),
        (("INT16", (-1, -1)), b"123456", (1, 3)),
        (("INT16", (-1, 2, -1)), b"12345678", (1, 2, 2)),
        (("INT16", (-1, -1)), b"", (1, 0)),
        (("INT16", (-1, 0, -1)), b"", (1, 0, 0)),
    ],
)
def test_a_raw_body_is_one_row(
    spec: tuple[str, tuple[int, ...]], body: bytes, shape: tuple[int, ...]
) -> None:
    """The free dimension follows from the size, and the answer comes in bytes too."""
    request = decode_request(body, one(*spec), header_length=0)

    assert (request.inputs[0].shape, bytes(request.inputs[0].data)) == (shape, body)
    assert request.form == BINARY


@pytest.mark.parametrize(
    ("shape", "batched"),
    [((-1,), True), ((-1, 1), True), ((-1, -1), True), ((1,), False), ((), False)],
)
def test_a_raw_string_has_no_length(shape: tuple[int, ...], *, batched: bool) -> None:
    """The body is the element."""
    request = decode_request(b"\xffab", one("BYTES", shape, batched=batched), header_length=0)

    assert request.inputs[0].array().reshape(-1).tolist() == [b"\xffab"]


@pytest.mark.parametrize(
    ("signature", "body", "says"),
    [
        (one("INT16", (-1, 2)), b"123", "as one row does not take 3 bytes"),
        (one("INT16", (-1, 2)), b"12345678", "as one row does not take 8 bytes"),
        (one("INT16", (-1, -1)), b"123", "as one row does not take 3 bytes"),
        (one("INT16", (-1, -1, -1)), b"12", "more than one free dimension"),
        (one("BOOL", (-1, -1)), b"\3", "a BOOL element is a byte of 0 or 1"),
        (one("BYTES", (-1, 2)), b"ab", "is one element"),
        (
            Signature(model(inputs=[("a", "INT8", (-1,)), ("b", "INT8", (-1,))])),
            b"a",
            "needs a model with one input, model 'm' has 2",
        ),
    ],
)
def test_a_raw_body_that_leaves_the_shape_open_is_refused(
    signature: Signature, body: bytes, says: str
) -> None:
    """One input, one free dimension, and a size that fits."""
    with pytest.raises(InvalidRequest, match=says):
        decode_request(body, signature, header_length=0)


@given(st.binary(max_size=80), st.data())
def test_any_bytes_are_decoded_or_refused(noise: bytes, data: st.DataObject) -> None:
    """Noise behind, inside or instead of a good body: a request or a ClientError."""
    sent = Tensor.of("x", np.array([b"ab", b""], dtype=object))
    text = json.dumps({"inputs": [described(sent)]}).encode()
    good = text + bytes(sent.data)
    at = data.draw(st.integers(0, len(good)))
    for body in (noise, good[:at] + noise, good[:at] + noise + good[at:], good + noise):
        for length in {0, data.draw(st.integers(0, len(body))), min(len(text), len(body))}:
            for datatype in ("BYTES", "INT16", "BOOL"):
                try:
                    request = decode_request(body, one(datatype), header_length=length)
                except ClientError:
                    continue
                request.inputs[0].array()
