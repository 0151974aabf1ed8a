# SPDX-License-Identifier: Apache-2.0
"""The body of ``/v1/embeddings`` as clients of OpenAI's API send it, and its answer."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

from gateway.errors import InvalidRequest
from gateway.wire.oip_json import (
    MAX_DEPTH,
    NUMPY_OPTION,
    depth_of,
    explain,
    json_dumps,
)
from gateway.wire.tensor import Tensor, join_elements

if TYPE_CHECKING:
    from gateway.wire.model import ModelInfo, TensorSpec
    from gateway.wire.tensor import Array, Buffer

_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_FLOATS: Final = frozenset({"FP16", "FP32", "FP64"})


class Question(msgspec.Struct, gc=False):
    """What is asked: *input* is one text or several; other fields are read by nobody."""

    model: str
    input: str | list[str]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


class _Strict(Question, forbid_unknown_fields=True, gc=False):
    user: str | None = None


_decode = msgspec.json.Decoder(_Strict).decode
_decode_lax = msgspec.json.Decoder(Question).decode


def read_question(body: Buffer) -> Question:
    """The question in *body*; raises InvalidRequest."""
    text = bytes(body)
    try:
        # Without unknown fields it cannot nest deeper than the types that read it.
        return _decode(text)
    except msgspec.ValidationError:
        pass
    except _FAULTS as error:
        raise InvalidRequest(explain(error, "", text)) from None
    try:
        if depth_of(text) > MAX_DEPTH:
            raise InvalidRequest(f"body: nested more than {MAX_DEPTH} deep")
        return _decode_lax(text)
    except _FAULTS as error:
        raise InvalidRequest(explain(error, "", text)) from None


def text_input(question: Question, info: ModelInfo) -> Tensor:
    """The texts of *question* as the input of *info*.

    Raises InvalidRequest where the model does not take one text a row, or there is none.
    """
    spec = info.inputs[0] if len(info.inputs) == 1 else None
    takes = spec is not None and spec.datatype == "BYTES" and spec.shape[1:] in {(), (1,)}
    if spec is None or not takes or not info.batched:
        raise InvalidRequest(
            f"model '{info.name}' does not take texts alone, as a model for embeddings does"
        )
    texts = [question.input] if isinstance(question.input, str) else question.input
    if not texts:
        raise InvalidRequest("input: at least one text is expected")
    return Tensor(spec.name, "BYTES", (len(texts), *spec.shape[1:]), join_elements(list(texts)))


def vector_output(question: Question, info: ModelInfo) -> TensorSpec:
    """The output of *info* that is the embedding: its only one of numbers by row.

    Raises InvalidRequest where there is no such, or it has other *dimensions* than were asked for.
    """
    fits = [spec for spec in info.outputs if spec.datatype in _FLOATS and len(spec.shape) == 2]
    if len(fits) != 1:
        raise InvalidRequest(
            f"model '{info.name}' has {len(fits)} outputs of one vector a row; a model for "
            "embeddings has one"
        )
    size = fits[0].shape[1]
    if question.dimensions not in {None, size}:
        raise InvalidRequest(f"dimensions: {question.dimensions} asked for, the model gives {size}")
    return fits[0]


def write_answer(model: str, vectors: Tensor, encoding: str) -> bytes:
    """The body that answers for *model*: each row of *vectors* as numbers, or base64 of FP32."""
    rows: Array = np.ascontiguousarray(vectors.array(), np.float32)
    values: list[Any] = list(rows)
    if encoding == "base64":
        values = [base64.b64encode(row.tobytes()).decode("ascii") for row in rows]
    data = [
        {"object": "embedding", "index": index, "embedding": value}
        for index, value in enumerate(values)
    ]
    document = {"object": "list", "data": data, "model": model}
    return json_dumps(document, option=NUMPY_OPTION)
