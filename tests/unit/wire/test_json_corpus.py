# SPDX-License-Identifier: Apache-2.0
"""The corpus of odd JSON bodies: each is read by both protocols, for models of all kinds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.edge.routes import V1, V2
from gateway.errors import ClientError
from gateway.exchange import Codec, Exchange
from gateway.wire.message import InferRequest
from gateway.wire.model import ModelInfo
from gateway.wire.tensor import ITEM_SIZE, Buffer
from tests.support.edge import model

FILES = {path.stem: path for path in (Path(__file__).parents[2] / "corpus" / "json").glob("*.json")}
MODELS = {
    "pair": model(),
    "two": model([("a", "INT64", (-1,)), ("b", "BYTES", (-1,))]),
    "text": model([("t", "BYTES", (-1,))]),
    "half": model([("x", "FP16", (-1, 2))]),
}
LONGEST = 500

# What each model takes; every other file is refused by it.
_V1_NUMBERS = """
    deep-exactly-100 duplicate-inputs duplicate-instances duplicate-row-key inputs-are-empty
    instances-are-empty v1-good-columns v1-good-named-rows v1-good-rows
    """
TAKEN: dict[tuple[Codec, str], str] = {
    (V2, "pair"): """
        deep-brackets-in-string duplicate-data float-denormal float-of-10000-digits id-4000-letters
        id-is-null id-with-crlf integer-beyond-uint64 line-breaks-in-key line-breaks-in-parameter
        minus-zero outputs-are-empty outputs-are-null parameter-4000-letters parameters-are-null
        parameters-are-sequence shape-zero-without-data surrogate-pair-in-id trailing-blanks v2-good
        v2-good-blanks-everywhere v2-good-escaped-keys v2-good-nested v2-good-unknown-fields
        """,
    (V2, "two"): "v2-good-two-inputs",
    (V2, "text"): "",
    (V2, "half"): "",
    (V1, "pair"): _V1_NUMBERS,
    (V1, "two"): "duplicate-instances instances-are-empty v1-good-two-inputs",
    (V1, "text"): """
        duplicate-inputs duplicate-instances input-is-string inputs-are-empty instances-are-empty
        rows-are-string
        """,
    (V1, "half"): _V1_NUMBERS,
}


def read(codec: Codec, info: ModelInfo, raw: Buffer) -> InferRequest | ClientError:
    """What *codec* makes of *raw*; any error but a ClientError is a failure of the test."""
    exchange = Exchange(codec, "m", "", target="/", headers={}, body=raw, request_id="r")
    try:
        return codec.decode(exchange, info)
    except ClientError as error:
        return error


def said(codec: Codec, error: ClientError) -> str:
    """The text that the client gets for *error*."""
    exchange = Exchange(codec, "m", "", target="/", headers={}, body=b"", request_id="r")
    text: str = json.loads(codec.refuse(exchange, error).body)["error"]
    return text


def sound(request: InferRequest) -> bool:
    """Whether each tensor has the bytes that its shape takes."""
    return all(
        tensor.datatype == "BYTES"
        or len(bytes(tensor.data)) == tensor.array().size * ITEM_SIZE[tensor.datatype]
        for tensor in request.inputs
    )


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_is_taken_or_refused(name: str) -> None:
    """As it should be by each model, and a refusal is one short line."""
    raw = FILES[name].read_bytes()
    for (codec, which), names in TAKEN.items():
        # Twice: what was learnt of a shape must not change the second reading.
        for _ in range(2):
            outcome = read(codec, MODELS[which], raw)
            taken = isinstance(outcome, InferRequest)
            assert taken == (name in names.split()), (codec.protocol, which, outcome)
            if isinstance(outcome, InferRequest):
                assert sound(outcome)
            else:
                text = said(codec, outcome)
                assert text == outcome.message
                assert text.isprintable()
                assert 0 < len(text) <= LONGEST


@pytest.mark.parametrize("kind", [bytearray, memoryview])
@pytest.mark.parametrize("name", sorted(FILES))
def test_the_kind_of_buffer_does_not_matter(name: str, kind: type[bytearray | memoryview]) -> None:
    """A large body arrives as a view, one of the other server as a bytearray."""
    raw = FILES[name].read_bytes()
    for codec, which in TAKEN:
        plain = read(codec, MODELS[which], raw)
        other = read(codec, MODELS[which], kind(raw))
        assert type(other) is type(plain)
        if isinstance(plain, ClientError) and isinstance(other, ClientError):
            assert other.message == plain.message


def test_every_name_has_its_file() -> None:
    """An empty directory, or a name for a file that is gone, would test nothing."""
    assert len(FILES) >= 200
    assert {name for names in TAKEN.values() for name in names.split()} <= FILES.keys()
