# SPDX-License-Identifier: Apache-2.0
"""v1 answers: by row or by column, as the request came."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gateway.errors import InvalidRequest
from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.predict import COLUMNS, ROWS
from gateway.wire.predict_answer import encode_predict
from gateway.wire.tensor import Tensor

Y = Tensor.of("y", np.array([[0.1, 0.2], [1, np.nan]], np.float32))
N = Tensor.of("n", np.array([7, 8]))
F = Tensor.of("f", np.array([0.1, 0.3], np.float32))
S = Tensor.of("s", np.array([b"a", b"\xff"], dtype=object))
W = Tensor.of("w", np.array([[b"a"], [b"b"]], dtype=object))
H = Tensor("h", "BF16", (2,), b"\x80\x3f\x00\x40")
E = Tensor("e", "FP32", (2, 0), b"")


def encode(form: str, *outputs: Tensor) -> Any:
    """The answer with *outputs* as JSON."""
    return json.loads(encode_predict(InferRequest("m", (), form=form), InferResponse(outputs)))


@pytest.mark.parametrize(
    ("output", "value"),
    [
        (Y, [[0.1, 0.2], [1.0, None]]), (N, [7, 8]), (F, [0.1, 0.3]), (H, [1.0, 2.0]),
        (S, ["a", {"b64": "/w=="}]), (W, [["a"], ["b"]]), (E, [[], []]),
    ],
)  # fmt: skip
def test_one_output_stands_for_itself(output: Tensor, value: object) -> None:
    """By row and by column it is the same list under another key."""
    assert encode(ROWS, output) == {"predictions": value}
    assert encode(COLUMNS, output) == {"outputs": value}


def test_several_outputs_have_names() -> None:
    """In every row, or once for all."""
    rows = [
        {"y": [0.1, 0.2], "n": 7, "f": 0.1, "s": "a", "w": ["a"], "h": 1.0, "e": []},
        {"y": [1.0, None], "n": 8, "f": 0.3, "s": {"b64": "/w=="}, "w": ["b"], "h": 2.0, "e": []},
    ]

    assert encode(ROWS, Y, N, F, S, W, H, E) == {"predictions": rows}
    assert encode(COLUMNS, Y, N) == {"outputs": {"y": [[0.1, 0.2], [1.0, None]], "n": [7, 8]}}


def test_no_rows_are_an_empty_list() -> None:
    """Whatever the outputs."""
    empty = (Tensor("y", "FP32", (0, 2), b""), Tensor("s", "BYTES", (0,), b""))
    assert encode(ROWS, *empty) == {"predictions": []}
    assert encode(ROWS, empty[0]) == {"predictions": []}


def test_a_scalar_can_only_be_a_column() -> None:
    """It has no rows."""
    scalar = Tensor.of("c", np.array(2.5, np.float32))

    assert encode(COLUMNS, scalar) == {"outputs": 2.5}
    with pytest.raises(InvalidRequest, match="send 'inputs' instead of 'instances'"):
        encode(ROWS, scalar)


def test_outputs_of_different_rows_cannot_be_paired() -> None:
    """The message shows the shapes and the way out."""
    other = Tensor.of("o", np.array([1, 2, 3]))
    with pytest.raises(InvalidRequest, match=r"'y' \[2, 2\], 'o' \[3\]"):
        encode(ROWS, Y, other)


@pytest.mark.parametrize("form", [ROWS, COLUMNS])
def test_a_kept_answer_is_the_same_as_a_fresh_one(form: str) -> None:
    """Each format is kept by itself."""
    shared = InferResponse((Y, N))
    shared.encoded = {}
    fresh = encode(form, Y, N)

    for _ in range(2):
        assert json.loads(encode_predict(InferRequest("m", (), form=form), shared)) == fresh
    assert len(shared.encoded) == 1
