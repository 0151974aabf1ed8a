# SPDX-License-Identifier: Apache-2.0
"""Records and columns by name, as v1 and v2 carry them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.wire.model import Column, ModelInfo, Table, TensorSpec
from gateway.wire.null import NULL, NULL_TEXT
from gateway.wire.oip import decode_request
from gateway.wire.predict import COLUMNS, ROWS, decode_predict
from gateway.wire.signature import Signature
from gateway.wire.tensor import Tensor

AGE = Column("age", "FP64")
JOB = Column("job", "BYTES", missing="default", null="keep", default="none")
OLD = Column("old", "BOOL", missing="keep", null="default", default=1)
KIDS = Column("kids", "INT64", missing="keep", text_numbers=True)
WEIGHT = Column("weight:kg", "FP32", null="keep")


def signature(*columns: Column, ignore: bool = False) -> Signature:
    """That of a model that takes *columns*."""
    inputs = tuple(TensorSpec(each.name, each.datatype, (-1,)) for each in columns)
    made = (TensorSpec("x", "FP32", (-1, 3)),)
    table = Table(columns, made, ignore_unknown=ignore)
    return Signature(
        ModelInfo(
            "m",
            "1",
            "onnx",
            "",
            inputs,
            (TensorSpec("y", "FP32", (-1,)),),
            batched=True,
            table=table,
        )
    )


def v1(of: Signature, body: Any) -> tuple[dict[str, Any], str]:
    """The values of each column by name, and the form of the answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    tensors, form = decode_predict(raw, of)
    assert [t.name for t in tensors] == list(of.inputs)
    return {t.name: t.array().tolist() for t in tensors}, form


def refused(of: Signature, body: Any) -> str:
    """What is said of *body*."""
    with pytest.raises(InvalidRequest) as caught:
        v1(of, body)
    return str(caught.value)


BOTH = signature(AGE, JOB)


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ({"instances": [{"age": 1, "job": "a"}, {"job": "b", "age": 2.5}]}, ROWS),
        ({"inputs": [{"age": 1, "job": "a"}, {"job": "b", "age": 2.5}]}, COLUMNS),
        ({"inputs": {"job": ["a", "b"], "age": [1, 2.5]}}, COLUMNS),
        ({"inputs": {"job": [["a"], ["b"]], "age": [[1], [2.5]]}}, COLUMNS),
    ],
)
def test_all_spellings_of_a_table_are_the_same(body: Any, form: str) -> None:
    """By name, whatever the order."""
    assert v1(BOTH, body) == ({"age": [1.0, 2.5], "job": [b"a", b"b"]}, form)


@pytest.mark.parametrize("member", ["instances", "inputs"])
def test_one_record_is_a_table_of_one_row(member: str) -> None:
    """A client with one question needs no list."""
    assert v1(BOTH, {member: {"age": 7, "job": "a"}})[0] == {"age": [7.0], "job": [b"a"]}


def test_no_rows_are_a_table_of_no_rows() -> None:
    """An empty list is no mistake."""
    assert v1(BOTH, {"instances": []})[0] == {"age": [], "job": []}


def test_missing_null_and_nan_are_three_things() -> None:
    """Each by its own policy: refused, kept as a null, or the default."""
    of = signature(AGE, JOB, OLD, KIDS)
    tensors, _ = decode_predict(
        b'{"instances":[{"age":1,"job":null,"old":null},{"age":2,"kids":3}]}', of
    )
    by_name = {tensor.name: tensor for tensor in tensors}

    assert by_name["job"].array().tolist() == [NULL_TEXT, b"none"]
    assert bytes(by_name["old"].data) == b"\1" + NULL["BOOL"]
    assert bytes(by_name["kids"].data) == NULL["INT64"] + (3).to_bytes(8, "little")
    assert "row 0, column 'age' is null" in refused(of, {"instances": [{"age": None}]})
    assert "row 1, column 'age' is missing" in refused(of, {"instances": [{"age": 1}, {}]})
    assert "column 'age' is missing" in refused(of, {"inputs": {"kids": [1]}})


def test_a_null_has_bits_of_its_own() -> None:
    """A NaN of a client is no null."""
    tensors, _ = decode_predict(b'{"instances":{"weight:kg":null}}', signature(WEIGHT))

    assert bytes(tensors[0].data) == NULL["FP32"] != np.float32(np.nan).tobytes()
    assert np.isnan(tensors[0].array()).all()


def test_numbers_as_text_are_for_columns_that_say_so() -> None:
    """'"41"' is 41 where it is declared, and a mistake elsewhere."""
    of = signature(AGE, KIDS)

    assert v1(of, {"instances": [{"age": 1, "kids": " 41 "}]})[0]["kids"] == [41]
    for text in ("4.5", "x", "", "0x1", "٤١", "1" * 400):
        assert "row 0, column 'kids'" in refused(of, {"instances": [{"age": 1, "kids": text}]})
    assert "expected a number, got the text '1'" in refused(of, {"instances": [{"age": "1"}]})


def test_unknown_names_are_refused_or_passed_over() -> None:
    """With a hint at the name that was meant."""
    body = {"instances": [{"age": 1, "jobb": {"a": [1]}}]}

    assert "row 0, column 'jobb' is unknown; did you mean 'job'?" in refused(BOTH, body)
    assert v1(signature(AGE, JOB, ignore=True), body)[0] == {"age": [1.0], "job": [b"none"]}
    columns = {"inputs": {"age": [1], "jobb": [1]}}
    assert "did you mean 'job'?" in refused(BOTH, columns)
    assert v1(signature(AGE, JOB, ignore=True), columns)[0]["age"] == [1.0]


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances":[{"age":1,"age":2,"job":"a"}]}',
        b'{"instances":[{"age":1,"age":2}]}',
        b'{"instances":[{"age":1,"job":"a:b"},{"age":1,"job":"a","job":"b"}]}',
        b'{"instances":[{"age":1,"job":"\\u003a","job":"b"}]}',
        b'{"instances":[{"age":1,"ag\\u0065":2,"job":"b"}]}',
        b'{"inputs":{"age":[1],"age":[2]}}',
        b'{"inputs":{"age":[1],"ag\\u0065":[2]}}',
    ],
)
def test_a_name_that_stands_twice_is_refused(body: bytes) -> None:
    """JSON does not say which of the two is meant."""
    assert "stands twice in one object" in refused(BOTH, body)


def test_colons_in_texts_and_names_are_no_second_names() -> None:
    """What looks for doubles counts colons first."""
    of = signature(WEIGHT, JOB)
    body = {"instances": [{"weight:kg": 1, "job": '12:30:00 \\ "'}, {"weight:kg": 2}]}

    assert v1(of, body)[0] == {"weight:kg": [1.0, 2.0], "job": [b'12:30:00 \\ "', b"none"]}


def test_columns_of_different_lengths_are_refused() -> None:
    """With both of them."""
    said = refused(BOTH, {"inputs": {"age": [1, 2, 3], "job": ["a"]}})

    assert "'job' has 1 and 'age' has 3" in said


def v2(of: Signature, *inputs: dict[str, Any]) -> dict[str, Any]:
    """The values of each column by name."""
    request = decode_request(json.dumps({"inputs": list(inputs)}).encode(), of)
    return {tensor.name: tensor.array().tolist() for tensor in request.inputs}


def item(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    """A v2 input."""
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def test_v2_has_an_input_for_each_column() -> None:
    """As [n] or [n, 1], in any order; what may be missing may."""
    age = item("age", "FP64", [2, 1], [1, 2])

    assert v2(BOTH, item("job", "BYTES", [2], ["a", None]), age) == {
        "age": [1.0, 2.0],
        "job": [b"a", NULL_TEXT],
    }
    assert v2(BOTH, age)["job"] == [b"none", b"none"]


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([item("age", "FP32", [1], [1])], "datatype 'FP32' given, FP64 expected"),
        ([item("age", "FP64", [2], [1])], "takes 2 elements, data has 1"),
        ([item("age", "FP64", [1], [None])], "row 0, column 'age' is null"),
        ([item("age", "FP64", [2], [1, "2"])], "row 1, column 'age': expected a number"),
        ([item("age", "FP64", [1, 2], [1, 2])], "does not fit [-1]"),
        ([item("age", "FP64", [1], [1])] * 2, "given more than once"),
        ([item("job", "BYTES", [1], ["a"])], "column 'age' is missing"),
        ([item("ago", "FP64", [1], [1])], "did you mean 'age'?"),
    ],
)
def test_v2_says_what_is_wrong(inputs: list[dict[str, Any]], says: str) -> None:
    """By name, with what would be right."""
    with pytest.raises(InvalidRequest) as caught:
        v2(BOTH, *inputs)

    assert says in str(caught.value)


def test_v2_takes_binary_columns_and_skips_unknown_ones() -> None:
    """The bytes behind the JSON part belong to the inputs in their order."""
    blobs = [np.array([9, 9], np.float32).tobytes(), np.array([1, np.nan], np.float64).tobytes()]
    head = json.dumps({
        "inputs": [
            {"name": n, "datatype": d, "shape": [2], "parameters": {"binary_data_size": len(b)}}
            for n, d, b in zip(("zip", "age"), ("FP32", "FP64"), blobs, strict=True)
        ]
    }).encode()  # fmt: skip
    of = signature(AGE, ignore=True)
    request = decode_request(head + b"".join(blobs), of, header_length=len(head))

    assert [tensor.name for tensor in request.inputs] == ["age"]
    assert bytes(request.inputs[0].data) == blobs[1]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.sampled_from(["age", "job", "old", "kids", "weight:kg", "x"])


@given(
    body=st.fixed_dictionaries(
        {"instances": json_values | st.lists(st.dictionaries(names, json_values), max_size=3)}
    )
    | st.fixed_dictionaries({"inputs": json_values | st.dictionaries(names, json_values)})
)
def test_whatever_comes_is_columns_or_a_refusal(body: Any) -> None:
    """Nothing but InvalidRequest is raised, in few words; what is taken has equally many rows."""
    of = signature(AGE, JOB, OLD, KIDS, WEIGHT)
    try:
        tensors, _ = decode_predict(json.dumps(body).encode(), of)
    except InvalidRequest as error:
        said = str(error)
        assert len(said) < 600
    else:
        assert len({tensor.shape for tensor in tensors}) == 1
        for tensor in tensors:
            assert isinstance(tensor, Tensor)
            assert len(tensor.array()) == tensor.shape[0]
