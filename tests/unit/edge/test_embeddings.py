# SPDX-License-Identifier: Apache-2.0
"""The codec of /v1/embeddings on exchanges."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from gateway.edge.embeddings import EmbeddingsCodec
from gateway.edge.routes import EMBEDDINGS, inference, match
from gateway.errors import BadAnswer, InvalidRequest, ModelNotFound
from gateway.exchange import Exchange
from gateway.wire.message import InferResponse
from gateway.wire.model import ModelInfo
from gateway.wire.tensor import Tensor
from tests.support.edge import model

INFO = model((("text", "BYTES", (-1,)),), (("vector", "FP32", (-1, 2)),))
VECTORS = np.array([[0.5, -1.0], [2.0, 0.25]], np.float32)


def exchange(body: bytes | dict[str, Any]) -> Exchange:
    """An exchange with *body*."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange(EmbeddingsCodec(), "", "", "/v1/embeddings", {}, raw, request_id="r")


def answered(body: dict[str, Any], vectors: np.ndarray[Any, Any] = VECTORS) -> dict[str, Any]:
    """The answer to *body* by a model that gives *vectors*."""
    asked = exchange(body)
    asked.model = asked.codec.named(asked)  # type: ignore[attr-defined]
    request = asked.codec.decode(asked, INFO)
    response = InferResponse((Tensor.of("vector", vectors),))
    answer = asked.codec.encode(asked, request, response, INFO)
    found: dict[str, Any] = json.loads(answer.body)
    return found


def test_the_target_is_an_inference_call_whose_body_names_the_model() -> None:
    """With a query too, and by POST alone."""
    for target in (b"/v1/embeddings", b"/v1/embeddings?a=b"):
        route = match("POST", target)
        assert route is not None
        assert (route.codec, route.model) == (EMBEDDINGS, "")
        assert match("GET", target) is None
        assert inference(target) is not None
    assert match("POST", b"/v1/embeddings/") is None


def test_texts_are_one_row_each() -> None:
    """One text, and a list of them."""
    for given, expected in (("a", [b"a"]), (["a", "é", ""], [b"a", "é".encode(), b""])):
        asked = exchange({"model": "m", "input": given, "user": "u"})
        request = asked.codec.decode(asked, INFO)
        (tensor,) = request.inputs
        assert (tensor.name, tensor.shape) == ("text", (len(expected),))
        assert tensor.array().tolist() == expected
        assert [output.name for output in request.outputs] == ["vector"]


def test_a_model_of_one_text_in_a_list_gets_lists() -> None:
    """As exported pipelines take them."""
    info = model((("text", "BYTES", (-1, 1)),), (("vector", "FP32", (-1, 2)),))
    asked = exchange({"model": "m", "input": ["a", "b"]})
    assert asked.codec.decode(asked, info).inputs[0].shape == (2, 1)


def test_an_answer_has_a_vector_for_each_text() -> None:
    """In the order of the texts, with the model that was asked."""
    found = answered({"model": "m", "input": ["a", "b"]})
    assert found == {
        "object": "list",
        "model": "m",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [2.0, 0.25]},
        ],
    }


def test_base64_is_little_endian_fp32() -> None:
    """What the clients of that API ask for by default, whatever the model's own type."""
    found = answered(
        {"model": "m", "input": "a", "encoding_format": "base64", "dimensions": 2},
        VECTORS[:1].astype(np.float64),
    )
    raw = base64.b64decode(found["data"][0]["embedding"])
    assert np.frombuffer(raw, "<f4").tolist() == [0.5, -1.0]


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "body"),
        (b"[]", "expected"),
        (b'{"model":"m"}', "input"),
        (b'{"model":"m","input":3}', "input"),
        (b'{"model":"m","input":[1,2]}', "input[0]"),
        (b'{"model":"m","input":[["a"]]}', "input[0]"),
        (b'{"model":"m","input":[]}', "at least one"),
        (b'{"model":"m","input":"a","dimensions":3}', "the model gives 2"),
        (b'{"model":"m","input":"a","encoding_format":"int8"}', "encoding_format"),
        (b'{"model":"m","input":["a","\\ud800"]}', "surrogate pair"),
        (b'{"model":"m","input":"\xff"}', "UTF-8"),
        (b'{"model":"m","input":"a","x":' + b"[" * 200_000, "nested"),
    ],
)
def test_what_is_no_question_is_refused(body: bytes, part: str) -> None:
    """With the field at fault."""
    asked = exchange(body)
    with pytest.raises(InvalidRequest, match=part.replace("[", r"\[")):
        asked.codec.decode(asked, INFO)


@pytest.mark.parametrize(
    "info",
    [
        model(),
        model((("text", "BYTES", (-1,)),), (("a", "FP32", (-1, 2)), ("b", "FP32", (-1, 2)))),
        model((("text", "BYTES", (-1,)), ("x", "FP32", (-1,))), (("a", "FP32", (-1, 2)),)),
        model((("text", "BYTES", (-1,)),), (("a", "INT64", (-1, 2)),)),
    ],
)
def test_a_model_of_another_kind_is_refused(info: ModelInfo) -> None:
    """It takes texts and gives one vector for each, or it makes no embeddings."""
    asked = exchange({"model": "m", "input": "a"})
    with pytest.raises(InvalidRequest, match="embeddings"):
        asked.codec.decode(asked, info)


def test_an_answer_without_vectors_reaches_nobody() -> None:
    """It is a fault of the worker."""
    asked = exchange({"model": "m", "input": "a"})
    request = asked.codec.decode(asked, INFO)
    with pytest.raises(BadAnswer):
        asked.codec.encode(asked, request, InferResponse(()), INFO)


def test_a_refusal_has_the_protocols_form() -> None:
    """The same as everywhere."""
    answer = EmbeddingsCodec().refuse(exchange(b""), ModelNotFound("none"))
    assert (answer.status, answer.body) == (404, b'{"error":"none"}')
