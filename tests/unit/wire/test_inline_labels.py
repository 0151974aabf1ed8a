# SPDX-License-Identifier: Apache-2.0
"""Inline labels: taken out of v2 requests, by row, and refused where they fit no row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gateway.errors import InvalidRequest
from gateway.wire.inline_labels import INPUT, LONGEST
from gateway.wire.message import InferRequest
from gateway.wire.oip import decode_request
from gateway.wire.signature import Signature
from tests.support.edge import model
from tests.support.v2 import body, tensor

PAIR = Signature(model())
TWO_ROWS = tensor(shape=[2, 2], data=[1, 2, 3, 4])
NAN = float("nan")


def labels(data: list[Any], datatype: str = "INT64", shape: list[int] | None = None) -> Any:
    """The input of labels as JSON has it."""
    return {"name": INPUT, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def decode(data: bytes, **options: Any) -> InferRequest:
    """The request in *data*, to a model of one input [-1, 2]."""
    return decode_request(data, PAIR, **options)


@pytest.mark.parametrize("label", ["benign", 3, 2.5, True])
def test_parameter_is_the_label_of_one_row(label: object) -> None:
    """And no parameter of the model."""
    request = decode(body(parameters={"label": label, "other": 1}))

    assert request.labels == (label,)
    assert request.parameters == {"other": 1}


def test_a_request_without_labels_has_none() -> None:
    """Which is not the same as labels that are none."""
    assert decode(body(parameters={"other": 1})).labels is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (labels([3, 4]), (3, 4)),
        (labels(["a", ""], "BYTES"), ("a", None)),
        (labels([True, False], "BOOL"), (True, False)),
        (labels([3, 4], shape=[2, 1]), (3, 4)),
        (labels([1, 0, 0, 1], shape=[2, 2]), ([1, 0], [0, 1])),
        (labels(["a", "b", "", ""], "BYTES", [2, 2]), (["a", "b"], None)),
    ],
)
def test_input_has_a_label_for_each_row(given: Any, expected: tuple[Any, ...]) -> None:
    """Wherever it stands among the inputs."""
    for inputs in ([TWO_ROWS, given], [given, TWO_ROWS]):
        request = decode(body(*inputs))

        assert request.labels == expected
        assert [each.name for each in request.inputs] == ["x"]


def test_input_may_be_bytes_behind_the_json() -> None:
    """Before or behind the model's own; no number is no label."""
    blobs = {
        INPUT: np.array([1.5, NAN], "<f4").tobytes(),
        "x": np.arange(4, dtype="<f4").tobytes(),
    }
    for order in ([INPUT, "x"], ["x", INPUT]):
        inputs = [
            {
                "name": name, "datatype": "FP32", "shape": [2] if name == INPUT else [2, 2],
                "parameters": {"binary_data_size": len(blobs[name])},
            }
            for name in order
        ]  # fmt: skip
        head = json.dumps({"inputs": inputs}).encode()
        whole = head + b"".join(blobs[name] for name in order)

        request = decode(whole, header_length=len(head))

        assert request.labels == (1.5, None)
        assert bytes(request.inputs[0].data) == blobs["x"]


def test_labels_are_no_part_of_records() -> None:
    """A model that takes a table has columns, and this is none of them."""
    from gateway.wire.model import Column, Table, TensorSpec  # noqa: PLC0415 - for this test alone

    table = Table((Column("age", "FP64"),), (TensorSpec("x", "FP32", (-1, 1)),))
    info = model(inputs=[("age", "FP64", (-1,))])
    import msgspec  # noqa: PLC0415 - as above

    signature = Signature(msgspec.structs.replace(info, table=table))
    age = {"name": "age", "datatype": "FP64", "shape": [2], "data": [1.0, 2.0]}

    request = decode_request(body(labels([0, 1]), age), signature)

    assert request.labels == (0, 1)
    assert [each.name for each in request.inputs] == ["age"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (body(TWO_ROWS, parameters={"label": 1}), "parameter 'label' is the label of one row"),
        (body(labels([1]), tensor(), parameters={"label": 1}), "labels are given twice"),
        (body(labels([1]), labels([1]), tensor()), f"input '{INPUT}' is given more than once"),
        (body(labels([1]), TWO_ROWS), f"input '{INPUT}': 1 labels for 2 rows"),
        (body(labels([1], "INT3"), tensor()), "'INT3' is not a datatype"),
        (body(labels([1], shape=[1, 1, 1]), tensor()), "a shape of 3 dimensions given"),
        (body(labels([1, 2], shape=[1]), tensor()), "takes 1 elements, data has 2"),
        (body(tensor(), parameters={"label": "x" * (LONGEST + 1)}), "a label has 4097 characters"),
    ],
)
def test_labels_that_fit_no_row_are_refused(data: bytes, message: str) -> None:
    """With what would be right."""
    with pytest.raises(InvalidRequest, match=message):
        decode(data)


def test_label_that_is_no_text_is_refused() -> None:
    """Bytes that are not UTF-8 name no class."""
    blob = b"\1\0\0\0\xff"
    item = {"name": INPUT, "datatype": "BYTES", "shape": [1],
            "parameters": {"binary_data_size": len(blob)}}  # fmt: skip
    head = json.dumps({"inputs": [item, tensor()]}).encode()
    with pytest.raises(InvalidRequest, match="a label is not UTF-8"):
        decode(head + blob, header_length=len(head))
