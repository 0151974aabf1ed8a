# SPDX-License-Identifier: Apache-2.0
"""Texts that are none, or far too long, for models that read them: a 4xx each, and soon."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pytest
import yaml
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from gateway.lab.export import export
from tests.support.models import identity, save
from tests.support.serving import Serving
from tests.support.texts import CORPUS, number_of_text, tokenizer_json

pytestmark = pytest.mark.e2e

TOPICS = [0, 1, 1, 0, 0]


@pytest.fixture(name="serving", scope="module")
def fixture_serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A classifier behind a vectorizer, an echo of token ids, and one of a graph's numbers."""
    directory = tmp_path_factory.mktemp("texts")
    vectorizer, classifier = _trained().named_steps.values()
    export(vectorizer, directory / "vectorizer.json")
    features = len(vectorizer.vocabulary_)
    graph = to_onnx(
        classifier,
        initial_types=[("x", FloatTensorType([None, features]))],
        options={"zipmap": False},
        target_opset=17,
    )
    save(graph, directory / "topics")
    save(identity("INT64", ("rows", "tokens")), directory / "echo")
    save(identity("FP32", ("rows", 1)), directory / "number")
    tokenize = {"file": tokenizer_json(name="echo.json"), "ids": "x", "max_length": 64}
    steps: dict[str, list[dict[str, Any]]] = {
        "topics": [
            {"clean_text": {"unicode": "NFC", "replace": [{"pattern": "(a+)+$", "with": "a"}]}},
            {"vectorize": {"file": str(directory / "vectorizer.json")}},
        ],
        "echo": [{"tokenize": tokenize}],
        "number": [{"onnx": {"file": number_of_text()}}],
    }
    config = {
        "server": {"http": "127.0.0.1:0", "admin": "127.0.0.1:0", "limits": {"body": "4MiB"}},
        "models": {
            name: {"backends": [{"worker": {"path": str(directory / name)}}], "preprocess": each}
            for name, each in steps.items()
        },
    }
    with Serving(directory, yaml.safe_dump(config)) as serving:
        yield serving.ready()


def _trained() -> Any:
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(CORPUS, TOPICS)


def asked(serving: Serving, model: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and answer of *body* for *model*."""
    connection = HTTPConnection(serving.http, timeout=60)
    try:
        connection.request("POST", f"/v2/models/{model}/infer", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def question(serving: Serving, model: str, texts: list[str]) -> tuple[int, dict[str, Any]]:
    """Status and answer of *texts*, as JSON."""
    name, shape = {"topics": ("x", [-1]), "echo": ("text", [-1]), "number": ("number", [-1, 1])}[
        model
    ]
    given = {
        "name": name, "datatype": "BYTES", "shape": [len(texts), *shape[1:]], "data": texts,
    }  # fmt: skip
    return asked(serving, model, json.dumps({"inputs": [given]}).encode())


def binary(serving: Serving, elements: list[bytes]) -> tuple[int, dict[str, Any]]:
    """Status and answer of *elements* for the classifier, as a binary tensor."""
    data = b"".join([struct.pack("<I", len(each)) + each for each in elements])
    tensor = {
        "name": "x", "datatype": "BYTES", "shape": [len(elements)],
        "parameters": {"binary_data_size": len(data)},
    }  # fmt: skip
    head = json.dumps({"inputs": [tensor]}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    return asked(serving, "topics", head + data, **length)


def test_a_classifier_of_raw_text_is_that_of_scikit_learn(serving: Serving) -> None:
    """Probabilities to 1e-5, on every text, seen or not."""
    texts = [*CORPUS, "", "an answer of the gateway", "batches", "Ünïcode, 字, \0"]
    status, answer = question(serving, "topics", texts)
    assert status == 200, answer
    found = {output["name"]: output["data"] for output in answer["outputs"]}
    expected = _trained().predict_proba(texts)
    np.testing.assert_allclose(
        np.reshape(found["probabilities"], expected.shape), expected, atol=1e-5
    )


def test_a_graph_before_the_model_runs(serving: Serving) -> None:
    """Again and again, in a thread and on the loop; what it refuses names it."""
    for _ in range(5):
        status, answer = question(serving, "number", ["1.5", "-2"])
        assert (status, answer["outputs"][0]["data"]) == (200, [1.5, -2])
    status, answer = question(serving, "number", ["pear"])
    assert status == 400
    assert "the preprocessing graph failed" in answer["error"]


@pytest.mark.parametrize(
    ("elements", "part"),
    [
        ([b"a", b"\xff\xfe"], "row 1: not UTF-8: byte 0xff"),
        ([b"\xed\xa0\x80"], "row 0: not UTF-8: byte 0xed"),
        ([b"a", b"b", b"x" * 70_000], "row 2: the text has 70000 bytes, at most 65536"),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_row(
    serving: Serving, elements: list[bytes], part: str
) -> None:
    """Where a codec cannot see it."""
    status, answer = binary(serving, elements)
    assert status == 400
    assert part in answer["error"]


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b'["a", "\\ud800"]', "surrogate"),
        (b'["a", 3]', "expected `str`, got `int`".replace("`", "")),
        (b'["a", null]', "str"),
        (b'["a", {"b": 1}]', "str"),
        (b'["a", ["b"]]', "str"),
        (b"[" * 100_000, ""),
        (b'["a", "b\x00"]', "malformed"),
        (b'["a", "\xff"]', "UTF-8"),
    ],
)
def test_json_that_is_no_text_is_refused(serving: Serving, data: bytes, part: str) -> None:
    """Wrong types, depth, NUL, surrogates."""
    head = b'{"inputs":[{"name":"x","datatype":"BYTES","shape":[2],"data":'
    status, answer = asked(serving, "topics", head + data + b"}]}")
    assert status == 400
    assert part in answer["error"]


def test_a_text_that_a_pattern_would_take_long_for_is_read_once(serving: Serving) -> None:
    """And what has no words has no weights."""
    status, _ = question(serving, "topics", ["a" * 60_000 + "!"])
    assert status == 200


def test_long_texts_do_not_hold_up_others(serving: Serving) -> None:
    """Health is answered while megabytes of words are counted and cut into tokens."""
    body = json.dumps({
        "inputs": [{
            "name": "text", "datatype": "BYTES", "shape": [50], "data": ["a b " * 16_000] * 50,
        }]
    }).encode()  # fmt: skip
    host, _, port = serving.http.partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as line:
        head = (
            f"POST /v2/models/echo/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        line.sendall(head.encode() + body)
        status, _ = serving.get("/v2/health/live")
        assert status == 200
        assert b" 200 OK" in line.recv(64)


def test_more_than_the_body_limit_is_too_large(serving: Serving) -> None:
    """Before anything is decoded."""
    status, answer = question(serving, "echo", ["a" * (5 << 20)])
    assert status == 413
    assert "the limit is 4194304" in answer["error"]
