# SPDX-License-Identifier: Apache-2.0
"""Requests and answers of each protocol, as bytes."""

import json
from typing import Any

import numpy as np
import pytest

from gateway.lab import LabError
from gateway.lab.client import Client, ask_v1, ask_v2, read_v1, read_v2
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Tensor

IMAGE = Tensor.of("image", np.asarray([[1.5, 2.0], [3.0, 4.0]], dtype=np.float32))
TEXT = Tensor.of("text", np.asarray(["é", "b"]))
LABEL = TensorSpec("label", "INT64", (-1,))


def test_a_binary_request_carries_raw_tensors_behind_its_header() -> None:
    """The header says where it ends and how long each tensor is."""
    headers, body = ask_v2([IMAGE, TEXT], ["label"], binary=True)

    length = int(headers["Inference-Header-Content-Length"])
    head = json.loads(body[:length])
    assert [entry["parameters"]["binary_data_size"] for entry in head["inputs"]] == [16, 11]
    assert head["outputs"] == [{"name": "label", "parameters": {"binary_data": True}}]
    assert body[length : length + 16] == np.asarray([1.5, 2, 3, 4], "<f4").tobytes()
    assert body[length + 16 :] == b"\x02\x00\x00\x00\xc3\xa9\x01\x00\x00\x00b"


def test_a_json_request_carries_flat_data() -> None:
    """Numbers row by row, text as strings."""
    headers, body = ask_v2([IMAGE, TEXT], ["label"], binary=False)

    head = json.loads(body)
    assert headers == {"Content-Type": "application/json"}
    assert [entry["data"] for entry in head["inputs"]] == [[1.5, 2.0, 3.0, 4.0], ["é", "b"]]
    assert [entry["shape"] for entry in head["inputs"]] == [[2, 2], [2]]


def test_a_v1_request_of_one_input_has_bare_rows() -> None:
    """`instances` holds a value a row."""
    _, body = ask_v1([IMAGE], bare=False)

    assert json.loads(body) == {"instances": [[1.5, 2.0], [3.0, 4.0]]}


def test_a_v1_request_of_several_inputs_has_objects() -> None:
    """Each row names its inputs."""
    _, body = ask_v1([IMAGE, TEXT], bare=False)

    assert json.loads(body) == {
        "instances": [{"image": [1.5, 2.0], "text": "é"}, {"image": [3.0, 4.0], "text": "b"}]
    }


def answer(*outputs: dict[str, Any]) -> bytes:
    """A v2 answer."""
    return json.dumps({"model_name": "m", "outputs": outputs}).encode()


def test_the_output_asked_for_is_found_behind_others() -> None:
    """Binary tensors follow each other in the order of the header."""
    head = answer(
        {"name": "first", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}},
        {"name": "plain", "datatype": "INT64", "shape": [1], "data": [5]},
        {"name": "label", "datatype": "INT64", "shape": [2],
         "parameters": {"binary_data_size": 16}},
    )  # fmt: skip
    body = head + b"\xff" * 4 + np.asarray([7, 8], "<i8").tobytes()

    array = read_v2({"Inference-Header-Content-Length": str(len(head))}, body, "label")

    assert array.tolist() == [7, 8]


@pytest.mark.parametrize(
    ("datatype", "data", "shape", "expected"),
    [
        ("INT64", [1, 2], [2, 1], [[1], [2]]),
        ("FP32", [0.25, 0.75], [1, 2], [[0.25, 0.75]]),
        ("BYTES", ["cat", "dog"], [2], [b"cat", b"dog"]),
        ("BOOL", [True, False], [2], [True, False]),
    ],
)
def test_json_outputs_have_their_shape(
    datatype: str, data: list[Any], shape: list[int], expected: list[Any]
) -> None:
    """Flat data is put back into rows."""
    body = answer({"name": "x", "datatype": datatype, "shape": shape, "data": data})

    assert read_v2({}, body, "x").tolist() == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b'{"outputs": 5}',
        answer({"name": "x", "datatype": "FP33", "shape": [1], "data": [1]}),
        answer({"name": "x", "datatype": "FP32", "shape": [3], "data": [1]}),
        answer({"name": "x", "datatype": "FP32", "shape": [1], "data": ["a"]}),
        answer({"name": "x", "datatype": "INT8", "shape": [1], "data": [300]}),
        answer({"name": "x", "datatype": "FP32", "shape": [2],
                "parameters": {"binary_data_size": 8}}),
        answer({"name": "other", "datatype": "FP32", "shape": [1], "data": [1]}),
    ],
)  # fmt: skip
def test_anything_but_an_answer_is_refused(body: bytes) -> None:
    """A server that is no v2 server gives one clear line."""
    with pytest.raises(LabError, match="an answer"):
        read_v2({}, body, "x")


def test_v1_predictions_are_rows() -> None:
    """Bare values of one output, or objects by name."""
    bare = json.dumps({"predictions": [3, 1]}).encode()
    named = json.dumps({"predictions": [{"label": 3, "p": [1]}, {"label": 1, "p": [2]}]}).encode()

    assert read_v1(bare, LABEL).tolist() == read_v1(named, LABEL).tolist() == [3, 1]


def test_v1_predictions_may_be_text() -> None:
    """Class names come as bytes, as in v2."""
    body = json.dumps({"predictions": ["cat", "dog"]}).encode()

    assert read_v1(body, TensorSpec("label", "BYTES", (-1,))).tolist() == [b"cat", b"dog"]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"predictions": [{"p": 1}]}', b'{"predictions": ["a"]}', b"[1]"]
)
def test_anything_but_predictions_is_refused(body: bytes) -> None:
    """A missing output or a value of another type gives one clear line."""
    with pytest.raises(LabError, match="not v1"):
        read_v1(body, LABEL)


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host", "http://", "127.0.0.1:8000"])
def test_a_url_without_scheme_or_host_is_refused(url: str) -> None:
    """The line says what a URL looks like."""
    with pytest.raises(LabError, match="expected http://HOST:PORT"):
        Client(url, "digits")


def test_an_unknown_protocol_is_refused() -> None:
    """The line lists those that there are."""
    with pytest.raises(LabError, match="expected one of v2-binary, v2-json, v1"):
        Client("http://127.0.0.1", "digits", protocol="v3")  # type: ignore[arg-type]
