# SPDX-License-Identifier: Apache-2.0
"""What every codec promises, whatever its protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.routes import V1, V2
from gateway.errors import ClientError, GatewayError, InvalidRequest, ModelNotFound, Shed
from gateway.exchange import Codec, Exchange
from gateway.wire.message import CacheRules, InferResponse
from tests.support.edge import model, sums

INFO = model()


class Spoken(NamedTuple):
    """A codec, how to ask two rows of it, and how to read the rows of an answer."""

    codec: Codec
    ask: Callable[[list[list[float]]], Any]
    rows: Callable[[Any], Any]


def _v2(rows: list[list[float]]) -> Any:
    return {"inputs": [{"name": "x", "shape": [len(rows), 2], "datatype": "FP32", "data": rows}]}


def _v2_rows(answer: Any) -> Any:
    (output,) = answer["outputs"]
    return np.reshape(output["data"], output["shape"]).tolist()


SPOKEN = [
    Spoken(V2, _v2, _v2_rows),
    Spoken(V1, lambda rows: {"instances": rows}, lambda answer: answer["predictions"]),
    Spoken(V1, lambda rows: {"inputs": rows}, lambda answer: answer["outputs"]),
]


@pytest.fixture(params=SPOKEN, ids=["v2", "v1 rows", "v1 columns"])
def spoken(request: pytest.FixtureRequest) -> Spoken:
    """Each protocol, and each form of it."""
    value: Spoken = request.param
    return value


def exchange(codec: Codec, body: bytes) -> Exchange:
    """An exchange with *body*."""
    return Exchange(codec, "m", "", target="/", headers={}, body=body, request_id="r")


def answered(spoken: Spoken, rows: list[list[float]], keep: dict[Any, Any] | None) -> bytes:
    """The body of the answer to *rows*; *keep* is what a cached response holds."""
    asked = exchange(spoken.codec, json.dumps(spoken.ask(rows)).encode())
    request = spoken.codec.decode(asked, INFO)
    response = sums(request)
    response.encoded = keep
    answer = spoken.codec.encode(asked, request, response, INFO)
    assert answer.status == 200
    assert answer.headers[0][0] == "Content-Type"
    return answer.body


def test_a_question_becomes_tensors_and_an_answer_comes_back(spoken: Spoken) -> None:
    """Row for row."""
    body = answered(spoken, [[1, 2], [5, 0.5]], None)
    assert spoken.rows(json.loads(body)) == [[3, -1, 2], [5.5, 4.5, 2.5]]


def test_all_protocols_make_the_same_tensors() -> None:
    """So that a batch may merge them, and a cache may answer one with another's result."""
    made = set()
    for spoken in SPOKEN:
        asked = exchange(spoken.codec, json.dumps(spoken.ask([[1, 2]])).encode())
        (tensor,) = spoken.codec.decode(asked, INFO).inputs
        made.add((tensor.name, tensor.datatype, tensor.shape, bytes(tensor.data)))
    assert len(made) == 1


def test_a_request_carries_what_the_exchange_knows(spoken: Spoken) -> None:
    """The name that the client used, the deadline, the trace and the cache rules."""
    asked = exchange(spoken.codec, json.dumps(spoken.ask([[1, 2]])).encode())
    asked.deadline, asked.rules = 7.0, CacheRules(no_store=True)

    request = spoken.codec.decode(asked, INFO)

    assert (request.model, request.deadline) == ("m", 7.0)
    assert request.trace is asked.trace
    assert request.rules is asked.rules


def test_a_cached_response_is_encoded_once(spoken: Spoken) -> None:
    """What is kept answers the next request with the same bytes."""
    kept: dict[Any, Any] = {}
    fresh = answered(spoken, [[1, 2]], None)

    assert answered(spoken, [[1, 2]], kept) == fresh
    assert len(kept) == 1
    # Other rows, but the response says that it is the one that was encoded before.
    assert answered(spoken, [[9, 9]], kept) == fresh


def test_protocols_do_not_mix_up_what_is_kept() -> None:
    """One response may be asked for in every form."""
    kept: dict[Any, Any] = {}
    bodies = [answered(spoken, [[1, 2]], kept) for spoken in SPOKEN]
    assert [answered(spoken, [[1, 2]], None) for spoken in SPOKEN] == bodies


@pytest.mark.parametrize("error", [InvalidRequest("a"), ModelNotFound("b"), Shed("c")])
def test_an_error_is_an_object_with_a_message(spoken: Spoken, error: GatewayError) -> None:
    """Under its own status and code."""
    answer = spoken.codec.refuse(exchange(spoken.codec, b""), error)

    assert json.loads(answer.body) == {"error": error.message}
    assert (answer.status, answer.error) == (error.status, error.code)
    assert answer.headers[0] == ("Content-Type", "application/json")


@given(noise=st.binary(max_size=40), at=st.integers(0, 120), cut=st.integers(0, 40))
def test_noise_is_decoded_or_refused(noise: bytes, at: int, cut: int) -> None:
    """Nothing but a ClientError ever comes out of `decode`."""
    for spoken in SPOKEN:
        good = json.dumps(spoken.ask([[1, 2]])).encode()
        asked = exchange(spoken.codec, good[:at] + noise + good[at + cut :])
        try:
            request = spoken.codec.decode(asked, INFO)
        except ClientError:
            continue
        response = InferResponse(request.inputs, version="1")
        assert spoken.codec.encode(asked, request, response, INFO).body
