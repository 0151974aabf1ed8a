# SPDX-License-Identifier: Apache-2.0
"""A sentence model behind the whole program: clients send texts and get vectors."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tokenizers
import yaml

from gateway.wire.tensor import Array
from tests.support import minilm
from tests.support.serving import Serving

pytestmark = pytest.mark.e2e

# Two that say the same, and one that does not.
TRIPLES = [
    (
        "A man is eating a piece of bread.",
        "Somebody is having some bread to eat.",
        "The stock market fell sharply on Tuesday.",
    ),
    (
        "How do I reset my password?",
        "I forgot my password, how can I get a new one?",
        "What is the height of that mountain?",
    ),
    (
        "The new film was wonderful.",
        "I really enjoyed the latest movie.",
        "Our train leaves at noon.",
    ),
    (
        "The cat sleeps on the sofa.",
        "A kitten is napping on the couch.",
        "Parliament passed the budget.",
    ),
    (
        "It will rain tomorrow.",
        "The forecast says that tomorrow will be wet.",
        "She plays the violin well.",
    ),
    (
        "Our server crashed last night.",
        "The machine went down yesterday evening.",
        "Bake the cake for forty minutes.",
    ),
]
TEXTS = [text for triple in TRIPLES for text in triple]


@pytest.fixture(name="serving", scope="module")
def fixture_serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The model, with texts in and sentence vectors out."""
    directory = tmp_path_factory.mktemp("sentences")
    config = {
        "server": {"http": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "models": {
            "minilm": {
                "backends": [{"worker": {"path": str(minilm.save(directory / "minilm"))}}],
                "preprocess": [
                    {"clean_text": {"whitespace": "collapse"}},
                    {
                        "tokenize": {
                            "file": str(minilm.package() / "tokenizer.json"),
                            "max_length": 256,
                        }
                    },
                ],
                "postprocess": [{"pool": {}}, {"l2_normalize": {}}],
            }
        },
    }
    with Serving(directory, yaml.safe_dump(config)) as serving:
        yield serving.ready()


def vectors(serving: Serving, texts: list[str]) -> Array:
    """What the server makes of *texts*, in one request."""
    question = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    status, answer = serving.post("/v2/models/minilm/infer", {"inputs": [question]})
    assert status == 200, answer
    (output,) = answer["outputs"]
    assert (output["name"], output["shape"]) == ("last_hidden_state", [len(texts), 384])
    return np.array(output["data"], np.float32).reshape(len(texts), 384)


def by_hand(serving: Serving, text: str) -> Array:
    """What the same model makes of *text*, without a gateway and without padding."""
    tokenizer = tokenizers.Tokenizer.from_file(str(minilm.package() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    encoding = tokenizer.encode(text)
    file = serving.config.parent / "minilm" / "1" / "model.onnx"
    session = _session(str(file))
    (states,) = session.run(
        None,
        {
            "input_ids": np.array([encoding.ids]),
            "attention_mask": np.array([encoding.attention_mask]),
            "token_type_ids": np.array([encoding.type_ids]),
        },
    )
    mean = states[0].mean(axis=0)
    unit: Array = mean / np.linalg.norm(mean)
    return unit


_SESSIONS: dict[str, Any] = {}


def _session(file: str) -> Any:
    if file not in _SESSIONS:
        _SESSIONS[file] = onnxruntime.InferenceSession(file)
    return _SESSIONS[file]


def test_a_paraphrase_is_nearer_than_another_sentence(serving: Serving) -> None:
    """From raw text, for every triple, by either of the two that say the same."""
    made = vectors(serving, TEXTS).reshape(len(TRIPLES), 3, 384)
    for (first, second, other), names in zip(made, TRIPLES, strict=True):
        assert first @ second > first @ other + 0.2, names
        assert first @ second > second @ other + 0.2, names


def test_the_vectors_are_those_that_the_model_is_published_with(serving: Serving) -> None:
    """The cosines of the model's own example, to the digits that are printed there."""
    made = vectors(
        serving,
        ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."],
    )
    cosines = made @ made.T
    assert cosines[0, 1] == pytest.approx(0.6660, abs=1e-4)
    assert cosines[0, 2] == pytest.approx(0.1046, abs=1e-4)
    assert cosines[1, 2] == pytest.approx(0.1411, abs=1e-4)


def test_padding_and_company_do_not_change_a_vector(serving: Serving) -> None:
    """Short beside long, alone, and without a gateway: the same to 1e-5."""
    texts = ["a", "", "Zürich, naïve café", " ".join(TEXTS), "word " * 400, *TEXTS]
    together = vectors(serving, texts)
    for text, vector in zip(texts, together, strict=True):
        expected = by_hand(serving, " ".join(text.split()))
        np.testing.assert_allclose(vector, expected, atol=1e-5)
        np.testing.assert_allclose(vectors(serving, [text])[0], expected, atol=1e-5)


def test_requests_of_many_clients_keep_apart(serving: Serving) -> None:
    """Whatever is merged, everybody gets the vectors of their own texts."""
    expected = vectors(serving, TEXTS)
    with ThreadPoolExecutor(12) as pool:
        made = list(pool.map(lambda text: vectors(serving, [text])[0], TEXTS * 6))
    np.testing.assert_allclose(made, np.tile(expected, (6, 1)), atol=1e-5)


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings_are_the_same_vectors(serving: Serving, encoding: str) -> None:
    """By the body that names the model."""
    body = {"model": "minilm", "input": TEXTS[:3], "encoding_format": encoding}
    status, answer = serving.post("/v1/embeddings", body)
    assert status == 200, answer
    given = [each["embedding"] for each in answer["data"]]
    if encoding == "base64":
        given = [np.frombuffer(base64.b64decode(each), "<f4") for each in given]
    np.testing.assert_allclose(given, vectors(serving, TEXTS[:3]), atol=1e-6)
    counted = serving.metrics("infergate_requests_total")
    labels = [each for each in counted if 'protocol="embeddings"' in each and "200" in each]
    assert [each for each in labels if 'model="minilm"' in each], counted


def test_embeddings_of_an_unknown_model_are_refused(serving: Serving) -> None:
    """By its name, cut short where it is long."""
    status, answer = serving.post("/v1/embeddings", {"model": "x" * 5000, "input": "a"})
    assert (status, len(answer["error"]) < 300) == (404, True)
    assert serving.post("/v1/embeddings", {"model": "", "input": "a"})[0] == 404


def test_the_metadata_is_that_of_texts_and_vectors(serving: Serving) -> None:
    """Tokens, mask and what travels behind the outputs are nobody's business."""
    _, text = serving.get("/v2/models/minilm")
    about = json.loads(text)
    assert [(each["name"], each["shape"]) for each in about["inputs"]] == [("text", [-1])]
    assert [each["shape"] for each in about["outputs"]] == [[-1, 384]]
