# SPDX-License-Identifier: Apache-2.0
"""v2 answers: JSON, bytes, selections, and what is kept for the next time."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadAnswer, InvalidRequest
from gateway.wire.message import InferRequest, InferResponse, RequestedOutput
from gateway.wire.oip_answer import _MAX_FORMS, encode_response, error_body
from gateway.wire.oip_parameters import BINARY
from gateway.wire.tensor import Tensor
from tests.support.edge import model

MODEL = model(outputs=[("y", "FP32", (-1, 2)), ("n", "INT64", (-1,)), ("s", "BYTES", (-1,))])
Y = Tensor.of("y", np.array([[0.5, 2]], np.float32))
N = Tensor.of("n", np.array([7]))
S = Tensor.of("s", np.array([b"t"], dtype=object))


def response(**options: Any) -> InferResponse:
    """All three outputs."""
    return InferResponse((Y, N, S), version="1", **options)


def encode(
    answer: InferResponse | None = None, **options: Any
) -> tuple[dict[str, Any], bytes | None, bytes]:
    """The JSON part, the bytes behind it if there is a length, and the whole body."""
    request = InferRequest("m", (), **options)
    body, length = encode_response(request, answer or response(), MODEL)
    text = body if length is None else body[:length]
    return json.loads(text), None if length is None else body[length:], body


def test_all_outputs_come_as_flat_json() -> None:
    """Fields stand in the order that other servers write; without an id there is none."""
    document, blobs, body = encode()

    assert blobs is None
    assert document == {
        "model_name": "m",
        "model_version": "1",
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 2.0]},
            {"name": "n", "datatype": "INT64", "shape": [1], "data": [7]},
            {"name": "s", "datatype": "BYTES", "shape": [1], "data": ["t"]},
        ],
    }
    assert body.startswith(b'{"model_name":"m","model_version":"1","outputs":[{"name":"y"')


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_an_id_comes_back_as_it_was_sent(id_: str) -> None:
    """Whatever is in it, and first of all fields."""
    document, _, body = encode(id=id_)

    assert document["id"] == id_
    assert body.startswith(b'{"id":')


def test_the_version_of_the_answer_wins_over_that_of_the_model() -> None:
    """A worker of another version may have answered."""
    assert encode(InferResponse((N,), version="2"))[0]["model_version"] == "2"
    assert encode(InferResponse((N,)))[0]["model_version"] == "1"


def test_parameters_of_the_answer_are_passed_on() -> None:
    """They stand before the outputs."""
    document, _, _ = encode(response(parameters={"note": 'a","outputs":['}))

    assert list(document) == ["model_name", "model_version", "parameters", "outputs"]
    assert document["parameters"] == {"note": 'a","outputs":['}


def test_listed_outputs_come_in_the_clients_order() -> None:
    """And no others."""
    outputs = (RequestedOutput("s"), RequestedOutput("y"))
    document, blobs, _ = encode(outputs=outputs)

    assert [output["name"] for output in document["outputs"]] == ["s", "y"]
    assert blobs is None


def test_an_answer_in_bytes_says_how_many() -> None:
    """Blobs follow in the order of the outputs."""
    document, blobs, _ = encode(form=BINARY, id="q")

    assert blobs == bytes(Y.data) + bytes(N.data) + bytes(S.data)
    assert document["id"] == "q"
    assert document["outputs"][1] == {
        "name": "n", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": 8},
    }  # fmt: skip


def test_the_flag_for_all_outputs_covers_only_those_not_listed() -> None:
    """As in other servers: a listed output comes as bytes only if it says so itself."""
    outputs = (RequestedOutput("y"), RequestedOutput("n", binary=True))
    document, blobs, _ = encode(outputs=outputs, form=BINARY)

    assert document["outputs"][0]["data"] == [0.5, 2.0]
    assert "data" not in document["outputs"][1]
    assert blobs == bytes(N.data)


def test_an_answer_whose_bytes_are_none_is_plain_json() -> None:
    """An empty binary output leaves nothing behind the JSON part."""
    empty = InferResponse((Tensor("y", "FP32", (0, 2), b""),))
    document, blobs, _ = encode(empty, form=BINARY)

    assert blobs is None
    assert document["outputs"][0]["parameters"] == {"binary_data_size": 0}
    assert encode(empty)[0]["outputs"][0]["data"] == []


def test_no_outputs_are_an_empty_list() -> None:
    """An answer without outputs is still JSON."""
    assert encode(InferResponse(()))[0]["outputs"] == []


@pytest.mark.parametrize("binary", [False, True])
def test_classes_are_text(*, binary: bool) -> None:
    """As JSON strings or as BYTES elements."""
    outputs = (RequestedOutput("y", classification=1, binary=binary),)
    document, blobs, _ = encode(outputs=outputs)

    (output,) = document["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [1, 1])
    if binary:
        assert blobs == b"\x0a\0\0\0" + b"2.000000:1"
    else:
        assert output["data"] == ["2.000000:1"]


def test_a_missing_output_is_the_workers_fault() -> None:
    """The client asked for what the model has."""
    with pytest.raises(BadAnswer, match="output 'y' is missing from the worker's answer"):
        encode(InferResponse((N,)), outputs=(RequestedOutput("y"),))


def test_halves_are_answered_as_bytes_only() -> None:
    """JSON is refused, bytes are the buffer."""
    half = InferResponse((Tensor("h", "FP16", (1,), b"\0\x3c"),))

    assert encode(half, form=BINARY)[1] == b"\0\x3c"
    with pytest.raises(InvalidRequest, match="output 'h': FP16 cannot be carried by JSON"):
        encode(half)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"id": "a"},
        {"form": BINARY},
        {"form": BINARY, "id": "a"},
        {"outputs": (RequestedOutput("n"), RequestedOutput("y", binary=True))},
    ],
)
def test_a_kept_answer_is_the_same_as_a_fresh_one(options: dict[str, Any]) -> None:
    """With or without an id, the second time as the first."""
    shared = response()
    shared.encoded = {}

    fresh = encode(**options)

    assert encode(shared, **options) == fresh
    assert encode(shared, **options) == fresh
    assert len(shared.encoded) == 1


def test_nothing_is_kept_on_an_answer_that_nobody_shares() -> None:
    """Only a cache may ask for it."""
    once = response()
    encode(once)
    assert once.encoded is None


def test_forms_do_not_pile_up() -> None:
    """A client that asks in ever new ways cannot fill the cache with them."""
    shared = response()
    shared.encoded = {}
    for classes in range(1, 100):
        encode(shared, outputs=(RequestedOutput("y", classification=classes),))
    assert len(shared.encoded) <= _MAX_FORMS


def test_models_do_not_share_what_is_kept() -> None:
    """The name of the model is part of the body."""
    shared = response()
    shared.encoded = {}
    for name in ("m", "other"):
        body, _ = encode_response(InferRequest(name, ()), shared, MODEL)
        assert json.loads(body)["model_name"] == name


@given(st.text(st.characters()))
def test_an_error_is_an_object_with_one_string(message: str) -> None:
    """Any text, lone surrogates included."""
    assert list(json.loads(error_body(message))) == ["error"]
