# SPDX-License-Identifier: Apache-2.0
"""The v1 ``:predict`` API, answers: ``predictions`` row by row, or ``outputs`` by column."""

from __future__ import annotations

import base64
from math import prod
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.errors import InvalidRequest
from gateway.wire.oip_json import json_dumps
from gateway.wire.predict import COLUMNS
from gateway.wire.tensor import numbers

if TYPE_CHECKING:
    from gateway.wire.message import InferRequest, InferResponse
    from gateway.wire.tensor import Tensor

_NUMPY_OPTION: Final = orjson.OPT_SERIALIZE_NUMPY


def encode_predict(request: InferRequest, response: InferResponse) -> bytes:
    """The body that answers *request* in the format that it came in.

    One output stands for itself, several are objects by output name. NaN and infinities become
    ``null``. Raises InvalidRequest where outputs cannot be answered row by row.
    """
    kept = response.encoded
    form = ("v1", request.form)
    known: bytes | None = None if kept is None else kept.get(form)
    if known is not None:
        return known
    body = _columns(response) if request.form == COLUMNS else _rows(response)
    if kept is not None:
        kept[form] = body
    return body


def _columns(response: InferResponse) -> bytes:
    if len(response.outputs) == 1:
        return b'{"outputs":%b}' % _nested(response.outputs[0])
    members = [b"%b:%b" % (json_dumps(out.name), _nested(out)) for out in response.outputs]
    return b'{"outputs":{%b}}' % b",".join(members)


def _rows(response: InferResponse) -> bytes:
    outputs = response.outputs
    if any(not tensor.shape or tensor.rows != outputs[0].rows for tensor in outputs):
        shapes = ", ".join(f"'{tensor.name}' {list(tensor.shape)}" for tensor in outputs)
        raise InvalidRequest(
            f"the outputs ({shapes}) have no first dimension in common, so there is no answer row "
            "by row; send 'inputs' instead of 'instances'"
        )
    if len(outputs) == 1:
        return b'{"predictions":%b}' % _nested(outputs[0])
    names = [json_dumps(tensor.name) for tensor in outputs]
    rows = [
        b"{%b}" % b",".join([b"%b:%b" % pair for pair in zip(names, row, strict=True)])
        for row in zip(*[_by_row(tensor) for tensor in outputs], strict=True)
    ]
    return b'{"predictions":[%b]}' % b",".join(rows)


def _nested(tensor: Tensor) -> bytes:
    """The elements of *tensor* as JSON, nested as its shape."""
    if tensor.datatype == "BYTES":
        return json_dumps(_texts(tensor.array().tolist()))
    array = numbers(tensor)
    if not tensor.shape:
        return json_dumps(array.reshape(1), option=_NUMPY_OPTION)[1:-1]
    if not array.size:
        return json_dumps(array.tolist())
    return json_dumps(array, option=_NUMPY_OPTION)


def _by_row(tensor: Tensor) -> list[bytes]:
    """The JSON of each row."""
    if not tensor.rows:
        return []
    if tensor.datatype == "BYTES":
        return [json_dumps(_texts(row)) for row in tensor.array().tolist()]
    array = numbers(tensor)
    if len(tensor.shape) == 1:
        return json_dumps(array, option=_NUMPY_OPTION)[1:-1].split(b",")
    if not prod(tensor.shape[1:]):
        return [json_dumps(row.tolist()) for row in array]
    return [json_dumps(row, option=_NUMPY_OPTION) for row in array]


def _texts(nested: Any) -> Any:  # noqa: ANN401 - any depth
    """Bytes as text where they are UTF-8, else in the base64 form."""
    if isinstance(nested, list):
        return [_texts(item) for item in nested]
    try:
        return nested.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(nested).decode()}
