# SPDX-License-Identifier: Apache-2.0
"""v1 requests: rows and columns to tensors."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ClientError, InvalidRequest
from gateway.wire.predict import COLUMNS, ROWS, decode_predict
from gateway.wire.signature import Signature
from gateway.wire.tensor import numbers
from tests.support.edge import model

ONE = Signature(model())
TEXT = Signature(model(inputs=[("t", "BYTES", (-1,))]))
TWO = Signature(model(inputs=[("a", "INT64", (-1, 2)), ("b", "BYTES", (-1,))]))


def decode(signature: Signature, **fields: Any) -> tuple[dict[str, Any], str]:
    """The values by input name, and the format."""
    tensors, form = decode_predict(json.dumps(fields).encode(), signature)
    return {tensor.name: tensor.array().tolist() for tensor in tensors}, form


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ({"instances": [[1, 2], [3, 4.5]]}, ROWS),
        ({"instances": [{"x": [1, 2]}, {"x": [3, 4.5]}]}, ROWS),
        ({"inputs": [[1, 2], [3, 4.5]]}, COLUMNS),
        ({"inputs": {"x": [[1, 2], [3, 4.5]]}}, COLUMNS),
        ({"signature_name": "serving_default", "instances": [[1, 2], [3, 4.5]]}, ROWS),
        ({"signature_name": None, "user": {"a": 1}, "instances": [[1, 2], [3, 4.5]]}, ROWS),
    ],
)
def test_one_input_can_be_spelled_in_four_ways(fields: dict[str, Any], form: str) -> None:
    """By row or by column, with or without its name; integers become the model's floats."""
    assert decode(ONE, **fields) == ({"x": [[1, 2], [3, 4.5]]}, form)


@pytest.mark.parametrize(
    "fields",
    [
        {"instances": [{"a": [1, 2], "b": "p"}, {"b": "q", "a": [3, 4]}]},
        {"inputs": {"b": ["p", "q"], "a": [[1, 2], [3, 4]]}},
    ],
)
def test_several_inputs_have_names(fields: dict[str, Any]) -> None:
    """In every row, or once for all."""
    assert decode(TWO, **fields)[0] == {"a": [[1, 2], [3, 4]], "b": [b"p", b"q"]}


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=5), st.booleans())
def test_bytes_come_as_base64(elements: list[bytes], named: bool) -> None:  # noqa: FBT001
    """The object form stands wherever a string can, also for the only input."""
    values: list[Any] = [{"b64": base64.b64encode(element).decode()} for element in elements]
    if named:
        values = [{"t": value} for value in values]

    assert decode(TEXT, instances=values)[0] == {"t": elements}
    assert decode(TEXT, instances=["a", {"b64": ""}])[0] == {"t": [b"a", b""]}


def test_no_instances_are_no_rows() -> None:
    """What is below an empty list follows from the model."""
    (tensor,), _ = decode_predict(b'{"instances":[]}', ONE)
    assert tensor.shape == (0, 2)


@pytest.mark.parametrize(
    ("datatype", "values", "expected"),
    [
        ("FP16", [0.1, 65504, 65519], [0.0999755859375, 65504, 65504]),
        ("BF16", [1.0, 1.00390625, 1.01171875, -2.5], [1.0, 1.0, 1.015625, -2.5]),
    ],
)
def test_halves_are_rounded_to_the_nearest(
    datatype: str, values: list[float], expected: list[float]
) -> None:
    """v1 has JSON only, so numbers are made to fit; from halfway they go to even."""
    signature = Signature(model(inputs=[("x", datatype, (-1,))]))
    (tensor,), _ = decode_predict(json.dumps({"inputs": values}).encode(), signature)
    np.testing.assert_array_equal(numbers(tensor).astype(float), expected)


@pytest.mark.parametrize(("datatype", "value"), [("FP16", 65520), ("BF16", 3.4e38), ("BF16", 1e39)])
def test_a_half_out_of_range_is_refused(datatype: str, value: float) -> None:
    """It would become infinite."""
    signature = Signature(model(inputs=[("x", datatype, (-1,))]))
    with pytest.raises(InvalidRequest, match=f"out of range for {datatype}"):
        decode_predict(json.dumps({"inputs": [value]}).encode(), signature)


@pytest.mark.parametrize(
    ("signature", "body", "says"),
    [
        (ONE, {}, "exactly one of 'instances' and 'inputs'"),
        (ONE, {"instances": [], "inputs": []}, "exactly one of 'instances' and 'inputs'"),
        (ONE, {"signature_name": "other", "instances": []}, "'serving_default' is the only one"),
        (ONE, {"instances": [[1, 2], [3]]}, "a list at depth 2 of data has 1 elements"),
        (ONE, {"instances": [1, 2]}, r"input 'x' \[0\]: expected array, got int"),
        (ONE, {"instances": 1}, "input 'x': expected array, got int"),
        (ONE, {"instances": [[1, "a"]]}, r"\[0\]\[1\]: expected float, got str"),
        (ONE, {"instances": [[1, 2, 3]]}, r"shape \[1, 3\] does not fit \[-1, 2\]"),
        (ONE, {"instances": [[1, 1e39]]}, "element 1 of data is out of range"),
        (ONE, {"instances": [{"z": [1, 2]}]}, "input 'z' is not an input of model 'm'"),
        (ONE, {"instances": [{"x": [1, 2]}, {}]}, r"instances\[1\]: input 'x' is missing"),
        (ONE, {"instances": [{"x": [1, 2]}, [1, 2]]}, r"instances\[1\]: expected object"),
        (ONE, {"inputs": {"z": 1}}, "input 'z' is not an input"),
        (TWO, {"instances": [[1, 2]]}, r"instances\[0\]: expected object, got array"),
        (TWO, {"inputs": [[1, 2]]}, "inputs: expected object, got array"),
        (TWO, {"inputs": {"a": [[1, 2]]}}, "input 'b' of model 'm' is missing"),
        (TWO, {"inputs": {"a": [[1.5, 2]], "b": ["p"]}}, "expected int, got float"),
        (TWO, {"inputs": {"a": [[1, 2]], "b": ["p", "q"]}}, "same number of rows"),
        (TEXT, {"instances": [{"b64": "*"}]}, "b64 does not hold base64"),
        (TEXT, {"instances": [{"b64": "ü"}]}, "b64 does not hold base64"),
        (TEXT, {"instances": [{"b64": 5}]}, "expected str, got int"),
    ],
)
def test_what_does_not_fit_is_refused(signature: Signature, body: object, says: str) -> None:
    """The message names the place and what would be right."""
    with pytest.raises(InvalidRequest, match=says):
        decode_predict(json.dumps(body).encode(), signature)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "malformed JSON"),
        (b"[1]", "body: expected object, got array"),
        (b'{"instances":[[1,NaN]]}', "NaN and infinities have no JSON form"),
        (b'{"instances":[[1,2]]}x', "trailing characters"),
        (b'{"a":"\xff","instances":[[1,2]]}', "not valid UTF-8"),
        (b'{"a":' + b"[" * 100 + b"]" * 100 + b',"instances":[[1,2]]}', "nested more than 100"),
        (b'{"instances":' + b"[" * 9000 + b"]" * 9000 + b"}", "nested more than 100|expected"),
    ],
)
def test_malformed_bodies_are_refused(body: bytes, says: str) -> None:
    """As in v2."""
    with pytest.raises(InvalidRequest, match=says):
        decode_predict(body, ONE)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "x", "t", "b64"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(st.sampled_from(["instances", "inputs", "signature_name", "o"]), VALUES),
    st.binary(max_size=8),
    st.integers(0, 50),
)
def test_anything_is_decoded_or_refused(document: dict[str, Any], noise: bytes, at: int) -> None:
    """Whatever comes, the worst outcome is a ClientError."""
    text = json.dumps(document).encode()
    for body in (text, text[:at] + noise + text[at:]):
        for signature in (ONE, TWO, TEXT):
            try:
                tensors, _ = decode_predict(body, signature)
            except ClientError:
                continue
            for tensor in tensors:
                tensor.array()
