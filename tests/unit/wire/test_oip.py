# SPDX-License-Identifier: Apache-2.0
"""v2 requests: what is decoded, what is refused, and that nothing else can happen."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import ClientError, InvalidRequest, Unsupported
from gateway.wire.message import NEVER, NO_RULES, InferRequest, Trace
from gateway.wire.oip import decode_plain, decode_request, header_length_of
from gateway.wire.oip_json import CODE
from gateway.wire.signature import Signature
from gateway.wire.tensor import NUMPY
from tests.support.edge import model
from tests.support.v2 import body, tensor

PAIR = Signature(model())
TWO = Signature(model(inputs=[("a", "INT64", (-1,)), ("b", "BYTES", (-1,))]))


def decode(data: bytes, signature: Signature = PAIR, **options: Any) -> InferRequest:
    """The request in *data*; the quick way, where it can be taken, must find the same."""
    with suppress(ClientError):
        decode_request(data, signature)  # the quick way takes only shapes that were seen before
    plain = decode_plain(data, signature, "", NEVER, Trace(), NO_RULES)
    try:
        request = decode_request(data, signature, **options)
    except ClientError:
        assert plain is None
        raise
    if plain is not None:
        assert plain.id == request.id
        assert [(given_.name, given_.datatype, given_.shape, bytes(given_.data))
                for given_ in plain.inputs] == [
            (given_.name, given_.datatype, given_.shape, bytes(given_.data))
            for given_ in request.inputs
        ]  # fmt: skip
    return request


@pytest.mark.parametrize(("data", "taken"), [([1, 2], True), ([[1, 2]], False), ([1, None], False)])
def test_the_quick_way_is_for_flat_numbers(data: list[Any], *, taken: bool) -> None:
    """In a shape that was seen before, and with nothing else asked for."""
    signature = Signature(model())
    plain = body(tensor(data=data))

    assert decode_plain(plain, signature, "m", 1.0, Trace(), NO_RULES) is None
    decode_request(body(), signature)
    found = decode_plain(plain, signature, "m", 1.0, Trace(), NO_RULES)

    assert (found is not None) == taken
    for fields in ({"parameters": {"a": 1}}, {"outputs": [{"name": "y"}]}, {"other": 1}):
        more = body(tensor(data=data), **fields)
        assert decode_plain(more, signature, "m", 1.0, Trace(), NO_RULES) is None


@pytest.mark.parametrize("data", [[1, 2, 3.5, -4], [[1, 2], [3.5, -4]]], ids=["flat", "nested"])
def test_flat_and_nested_data_are_the_same_tensor(data: list[Any]) -> None:
    """Both spellings give the same buffer."""
    request = decode(body(tensor(shape=[2, 2], data=data)))

    (given_,) = request.inputs
    assert (given_.name, given_.datatype, given_.shape) == ("x", "FP32", (2, 2))
    assert bytes(given_.data) == np.array([1, 2, 3.5, -4], "<f4").tobytes()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("extra", [{}, {"model_name": "m"}])
def test_any_buffer_can_be_decoded(kind: Any, extra: dict[str, Any]) -> None:
    """A body may come as bytes, as a bytearray or as a view of either."""
    assert decode(kind(body(**extra))).inputs[0].array().tolist() == [[1, 2]]


@pytest.mark.parametrize("depth", range(4))
def test_data_is_nested_as_deep_as_the_shape(depth: int) -> None:
    """A scalar stands for itself, and each dimension adds a level."""
    data: Any = 7
    for _ in range(depth):
        data = [data]
    signature = Signature(model(inputs=[("x", "INT16", (-1,) * depth)], batched=False))

    request = decode(body(tensor(datatype="INT16", shape=[1] * depth, data=data)), signature)

    assert request.inputs[0].array().tolist() == data


@pytest.mark.parametrize("datatype", sorted(CODE))
@given(data=st.data())
def test_values_come_out_as_they_went_in(datatype: str, data: st.DataObject) -> None:
    """Every value that a datatype can hold is exact, the largest integers included."""
    dtype = NUMPY[datatype]
    element: st.SearchStrategy[Any]
    if datatype == "BOOL":
        element = st.booleans()
    elif dtype.kind == "f":
        element = st.floats(
            width=32 if datatype == "FP32" else 64, allow_nan=False, allow_infinity=False
        )
    else:
        info = np.iinfo(dtype)
        element = st.integers(int(info.min), int(info.max))
    values = data.draw(st.lists(element, max_size=20))
    signature = Signature(model(inputs=[("x", datatype, (-1,))]))

    request = decode(body(tensor(datatype=datatype, shape=[len(values)], data=values)), signature)

    assert request.inputs[0].array().tolist() == values


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=8))
def test_text_comes_out_as_utf8(texts: list[str]) -> None:
    """A BYTES element is the UTF-8 of the string, whatever is in it."""
    signature = Signature(model(inputs=[("x", "BYTES", (-1,))]))

    request = decode(body(tensor(datatype="BYTES", shape=[len(texts)], data=texts)), signature)

    assert request.inputs[0].array().tolist() == [text.encode() for text in texts]


def test_inputs_are_found_by_name() -> None:
    """Several inputs come in any order."""
    b = {"name": "b", "shape": [2], "datatype": "BYTES", "data": ["p", "q"]}
    a = {"name": "a", "shape": [2], "datatype": "INT64", "data": [2**62, -1]}

    request = decode(body(b, a), TWO)

    assert {given_.name: given_.array().tolist() for given_ in request.inputs} == {
        "a": [2**62, -1],
        "b": [b"p", b"q"],
    }


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([], "input 'x' of model 'm' is missing"),
        ([tensor(), tensor()], "input 'x' of model 'm' is given 2 times"),
        ([tensor(name="z")], "input 'z' is not an input of model 'm'; expected 'x'"),
        ([tensor(name=5)], r"inputs\[0\].name: expected str, got int"),
        ([tensor(datatype="FP64")], "input 'x': datatype 'FP64' given, FP32 expected"),
        ([tensor(datatype="fp32")], "input 'x': datatype 'fp32' given, FP32 expected"),
        ([tensor(shape=[2])], r"shape \[2\] does not fit \[-1, 2\]"),
        ([tensor(shape=[1, 3])], r"shape \[1, 3\] does not fit \[-1, 2\]"),
        ([tensor(shape=[1, 2, 1])], r"shape \[1, 2, 1\] does not fit"),
        ([tensor(shape=[2, 2])], r"shape \[2, 2\] takes 4 elements, data has 2"),
        ([tensor(shape=[-1, 2])], "a dimension of shape is negative"),
        ([tensor(shape=[10**400, 2])], "a dimension of shape is above 2147483647"),
        ([tensor(shape=[2**31 - 1, 2])], "takes 4294967294 elements, data has 2"),
        ([tensor(shape=[1.5, 2])], r"inputs\[0\].shape\[0\]: expected int, got float"),
        ([tensor(shape=[True, 2])], r"inputs\[0\].shape\[0\]: expected int, got bool"),
        ([tensor(shape=...)], r"inputs\[0\]: object missing required field shape"),
        ([tensor(datatype=...)], "missing required field datatype"),
        ([tensor(name=...)], "missing required field name"),
        ([tensor(data=[1, "2"])], r"input 'x' data\[1\]: expected float, got str"),
        ([tensor(data=[1, None])], r"input 'x' data\[1\]: expected float, got null"),
        ([tensor(data=[1, True])], r"input 'x' data\[1\]: expected float, got bool"),
        ([tensor(data=[1, 1e39])], "element 1 of data is out of range for FP32"),
        ([tensor(data=[[1], [2]])], "a list at depth 1 of data has 2 elements"),
        ([tensor(data=[[1, 2, 3]])], "a list at depth 2 of data has 3 elements"),
        ([tensor(data=[[1, 2], [3]], shape=[2, 2])], "a list at depth 2 of data has 1 elements"),
        ([tensor(data=[[[1, 2]]])], r"data\[0\]\[0\]: expected float, got array"),
        ([tensor(data=None)], "input 'x' data: expected array, got null"),
        ([tensor(data={"a": 1})], "input 'x' data: expected array, got object"),
        ([tensor(data="1,2")], "input 'x' data: expected array, got str"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(inputs: list[Any], says: str) -> None:
    """The message names the input, what is wrong with it, and what would be right."""
    with pytest.raises(InvalidRequest, match=says):
        decode(json.dumps({"inputs": inputs}).encode())


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("UINT8", 256), ("UINT8", -1), ("INT8", 128), ("INT16", -(2**15) - 1),
        ("UINT32", 2**32), ("INT64", 2**63), ("UINT64", 2**64), ("UINT64", -1),
        ("INT64", 10**300),
    ],
)  # fmt: skip
def test_a_number_out_of_range_is_refused(datatype: str, value: int) -> None:
    """The message names the tensor, the element and the range."""
    signature = Signature(model(inputs=[("x", datatype, (-1,))]))
    with pytest.raises(InvalidRequest, match=rf"element 1 .* range for {datatype} \(.* to .*\)"):
        decode(body(tensor(datatype=datatype, shape=[2], data=[0, value])), signature)


@pytest.mark.parametrize(
    ("datatype", "value", "kind"),
    [("INT32", 1.5, "int"), ("BOOL", 1, "bool"), ("BYTES", 1, "str"), ("UINT8", True, "int")],
)
def test_a_value_of_another_type_is_refused(datatype: str, value: object, kind: str) -> None:
    """Nothing is converted behind the client's back."""
    signature = Signature(model(inputs=[("x", datatype, (-1,))]))
    with pytest.raises(InvalidRequest, match=rf"data\[0\]: expected {kind}"):
        decode(body(tensor(datatype=datatype, shape=[1], data=[value])), signature)


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_halves_are_refused_in_json(datatype: str) -> None:
    """As other servers do; the message says which way is open."""
    signature = Signature(model(inputs=[("x", datatype, (-1,))]))
    with pytest.raises(InvalidRequest, match=f"{datatype} cannot be carried by JSON; use binary"):
        decode(body(tensor(datatype=datatype, shape=[1], data=[1])), signature)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "malformed JSON: the text ends too early"),
        (b"{", "malformed JSON"),
        (b"[]", "body: expected object, got array"),
        (b"null", "body: expected object, got null"),
        (b"{}", "body: object missing required field inputs"),
        (b'{"inputs":{}}', "inputs: expected array, got object"),
        (body() + b"}", "malformed JSON: trailing characters"),
        (body() + b"\0", "malformed JSON: trailing characters"),
        (b"\xef\xbb\xbf" + body(), "malformed JSON"),
        (b"\xff" + body(), "not valid UTF-8"),
        (b'{"inputs":[],"id":"\xff"}', "not valid UTF-8"),
        (b'{"inputs":[],"other":"\xff"}', "not valid UTF-8"),
        (b'{"inputs":[],"id":"\\ud800"}', "malformed JSON"),
        (b'{"inputs":[],"id":5}', "id: expected str"),
        (body().replace(b"[1, 2]}", b"[1, NaN]}"), "NaN and infinities have no JSON form"),
        (body().replace(b"[1, 2]}", b"[1, -Infinity]}"), "malformed JSON"),
        (body().replace(b"[1, 2]}", b"[1, 1e999]}"), "out of range"),
        (body().replace(b"[1, 2]}", b"[1, 01]}"), "malformed JSON"),
        (body().replace(b"[1, 2]}", b"[1, 2,]}"), "malformed JSON"),
    ],
)
def test_what_is_not_a_request_is_refused(data: bytes, says: str) -> None:
    """Malformed JSON, text and structure are the client's fault, told in one line."""
    with pytest.raises(InvalidRequest, match=says) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_ends_at_100(opening: bytes) -> None:
    """Depth 100 is read over, 101 is refused, and so is what would exhaust a stack."""
    closing = b"]" if opening == b"[" else b"}"

    def nested(depth: int) -> bytes:
        return body()[:-1] + b',"other":' + opening * depth + b"1" + closing * depth + b"}"

    assert decode(nested(99)).inputs  # and one for the body itself
    for depth in (100, 5_000, 200_000):
        with pytest.raises(InvalidRequest, match="nested more than 100 deep"):
            decode(nested(depth))


def test_brackets_in_strings_are_not_nesting() -> None:
    """Text may hold any number of them, and of quotes."""
    assert decode(body(other='[{"\\' * 300)).inputs


def test_fields_that_are_not_known_are_passed_over() -> None:
    """Clients add fields of their own; `null` for an optional one is none."""
    request = decode(body(tensor(extra={"a": [1]}), model_name="m", id=None, outputs=None))

    assert (request.id, request.outputs, request.parameters) == ("", (), None)


@pytest.mark.parametrize(
    "fields",
    [
        {"data": ...},
        {"parameters": {"binary_data_size": 8}},
        {"parameters": {"shared_memory_region": "r"}},
        {"data": ..., "parameters": {"binary_data_size": 8, "shared_memory_region": "r"}},
    ],
)
def test_an_input_has_one_source_of_data(fields: dict[str, Any]) -> None:
    """None is refused, and so are two."""
    with pytest.raises(InvalidRequest, match="exactly one of 'data', 'binary_data_size'"):
        decode(body(tensor(**fields)))


def test_shared_memory_is_not_offered() -> None:
    """An input that lies in shared memory is a 501, not a 400."""
    with pytest.raises(Unsupported, match="input 'x': shared memory is not offered"):
        decode(body(tensor(data=..., parameters={"shared_memory_region": "r"})))


def test_inputs_of_a_batch_have_the_same_rows() -> None:
    """What cannot be one batch is refused before a worker sees it."""
    b = {"name": "b", "shape": [2], "datatype": "BYTES", "data": ["p", "q"]}
    a = {"name": "a", "shape": [1], "datatype": "INT64", "data": [1]}
    with pytest.raises(InvalidRequest, match="same number of rows, but 'b' has 2, 'a' has 1"):
        decode(body(b, a), TWO)


@pytest.mark.parametrize("value", ["", "-1", "+1", " 1", "1_0", "1.0", "0x1", "11", "٣", "9" * 30])
def test_a_header_length_that_is_no_size_is_refused(value: str) -> None:
    """Digits only, and no more than the body has."""
    with pytest.raises(InvalidRequest, match="expected an integer from 0 to 10"):
        header_length_of(value, 10)


@pytest.mark.parametrize("value", ["0", "10", "007"])
def test_a_header_length_may_be_anything_up_to_the_body(value: str) -> None:
    """From nothing to all of it."""
    assert header_length_of(value, 10) == int(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["inputs", "name", "shape", "datatype", "data", "parameters", "outputs"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "inputs": st.lists(
                st.fixed_dictionaries(
                    {
                        "name": st.sampled_from(["x", "a", "b", ""]) | JSON,
                        "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON,
                        "datatype": st.sampled_from(["FP32", "INT64", "BYTES", "FP16"]) | JSON,
                        "data": JSON,
                    },
                    optional={"parameters": JSON},
                ),
                max_size=3,
            ) | JSON,
            "outputs": JSON,
            "id": JSON,
            "parameters": JSON,
        },
    )
)  # fmt: skip
def test_any_document_is_decoded_or_refused(document: dict[str, Any]) -> None:
    """Whatever JSON says, the worst outcome is a ClientError."""
    data = json.dumps(document).encode()
    for signature in (PAIR, TWO):
        try:
            request = decode(data, signature)
        except ClientError:
            continue
        for given_ in request.inputs:
            given_.array()


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 60))
@example(b"\0", 0, 1)
def test_a_damaged_body_is_decoded_or_refused(noise: bytes, at: int, length: int) -> None:
    """Bytes put into, or over, a good body: a request or a ClientError."""
    good = body(id="a", parameters={"timeout": 1}, outputs=[{"name": "y"}])
    for data in (good[:at] + noise + good[at:], good[:at] + noise + good[at + length :], noise):
        with suppress(ClientError):
            decode(data)
