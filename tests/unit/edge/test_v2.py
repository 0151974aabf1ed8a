# SPDX-License-Identifier: Apache-2.0
"""The v2 codec on exchanges."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gateway.edge.v2 import V2Codec
from gateway.errors import InvalidRequest
from gateway.exchange import Exchange
from gateway.wire.message import CacheRules
from tests.support.edge import model, sums

ROW = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [3, 4]}


def exchange(body: bytes, **headers: str) -> Exchange:
    """An exchange with *body*, whose header names are given with underscores."""
    return Exchange(
        V2Codec(),
        "m",
        "",
        target="/v2/models/m/infer",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=body,
        request_id="r",
        inference_id="r",
        arrived=50.0,
    )


def test_a_request_takes_over_what_the_exchange_knows() -> None:
    """Deadline, trace and cache rules stay the same objects."""
    asked = exchange(json.dumps({"inputs": [ROW], "parameters": {"timeout": 10**6}}).encode())
    asked.deadline = 60.0
    asked.rules = CacheRules(no_store=True)

    request = asked.codec.decode(asked, model())

    assert request.model == "m"
    assert request.trace is asked.trace
    assert request.rules is asked.rules
    assert request.deadline == 51.0


@pytest.mark.parametrize(
    ("fields", "id_"), [({"id": "mine"}, "mine"), ({}, "r"), ({"id": ""}, "r")]
)
def test_a_clients_id_becomes_the_inference_id(fields: dict[str, str], id_: str) -> None:
    """Without one the exchange keeps its own, and the body has none."""
    asked = exchange(json.dumps({"inputs": [ROW], **fields}).encode())
    info = model()

    request = asked.codec.decode(asked, info)
    answer = asked.codec.encode(asked, request, sums(request), info)

    assert asked.inference_id == id_
    assert json.loads(answer.body).get("id") == (fields.get("id") or None)


def test_an_answer_in_bytes_says_where_they_begin() -> None:
    """With the type and the header of the extension."""
    row = {key: ROW[key] for key in ("name", "shape", "datatype")}
    text = json.dumps(
        {
            "inputs": [row | {"parameters": {"binary_data_size": 8}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    blob = np.array([3, 4], "<f4").tobytes()
    asked = exchange(text + blob, inference_header_content_length=str(len(text)))
    info = model()

    request = asked.codec.decode(asked, info)
    answer = asked.codec.encode(asked, request, sums(request), info)

    headers = dict(answer.headers)
    assert answer.status == 200
    assert headers["Content-Type"] == "application/octet-stream"
    start = int(headers["Inference-Header-Content-Length"])
    assert json.loads(answer.body[:start])["outputs"][0]["parameters"] == {"binary_data_size": 12}
    assert np.frombuffer(answer.body[start:], "<f4").tolist() == [7, -1, 12]


def test_a_wrong_header_length_is_refused() -> None:
    """As a fault of the client."""
    asked = exchange(b"{}", inference_header_content_length="3")
    with pytest.raises(InvalidRequest, match="expected an integer from 0 to 2"):
        asked.codec.decode(asked, model())


def test_a_refusal_has_the_protocols_form() -> None:
    """One string in an object, under the error's own status."""
    asked = exchange(b"")
    answer = asked.codec.refuse(asked, InvalidRequest("why"))

    assert (answer.status, answer.body, answer.error) == (
        400, b'{"error":"why"}', "invalid_request",
    )  # fmt: skip
