# SPDX-License-Identifier: Apache-2.0
"""Open Inference Protocol v2 over REST, answers: from an InferResponse to a body."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.errors import BadAnswer
from gateway.wire.classification import classify
from gateway.wire.oip_json import JSON_NUMBERS, NUMPY_OPTION, json_data, json_dumps
from gateway.wire.oip_parameters import BINARY
from gateway.wire.tensor import NUMPY

if TYPE_CHECKING:
    from gateway.wire.message import InferRequest, InferResponse, Rows
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Buffer, Tensor

_END: Final = b"}]}"
_NEXT: Final = b"},"
_OUTPUTS: Final = b',"outputs":['
# A client that asks for one answer in ever new forms must not fill the cache with them.
_MAX_FORMS: Final = 8


def encode_response(
    request: InferRequest, response: InferResponse, model: ModelInfo
) -> tuple[bytes, int | None]:
    """The body that answers *request*, and the size of its JSON part if bytes follow it.

    Outputs come in the order that the request lists them in, else in the response's own.
    A response whose `encoded` is a dict keeps what can be sent again. Raises BadAnswer for an
    output that is missing, InvalidRequest for one that JSON cannot carry.
    """
    if request.outputs or request.form:
        return _encode_wanted(request, response, model)
    kept = response.encoded
    if kept is None:
        rows = response.rows
        if rows is None:
            body = _encode_json(request.model, response, model)
        else:
            texts = rows.kept
            if texts is None:
                texts = rows.kept = _texts(request.model, rows, response, model)
            body = texts[response.row] if texts else _encode_json(request.model, response, model)
    else:
        form = ("v2", request.model)
        known: bytes | None = kept.get(form)
        body = known if known is not None else _encode_json(request.model, response, model)
        kept[form] = body
    return (_with_id(request.id, body) if request.id else body), None


def error_body(message: str) -> bytes:
    """The protocol's error object."""
    return b'{"error":%b}' % json_dumps(_clean(message))


def _encode_json(name: str, response: InferResponse, model: ModelInfo) -> bytes:
    head = _head(name, response.version or model.version)
    if response.parameters:
        head = _with_parameters(head, response.parameters)
    return b"".join((
        head,
        _NEXT.join([
            _preamble(tensor.name, tensor.datatype, tensor.shape) + json_data(tensor)
            for tensor in response.outputs
        ]),
        _END if response.outputs else b"]}",
    ))  # fmt: skip


def _texts(name: str, rows: Rows, response: InferResponse, model: ModelInfo) -> list[bytes]:
    """The JSON bodies of all *rows*, which are like *response*; none where that has no short cut.

    A number costs the same either way; what is saved is the work around it, once for each row.
    """
    if response.parameters or any(
        tensor.datatype not in JSON_NUMBERS or not tensor.data for tensor in rows.outputs
    ):
        return []
    count = rows.outputs[0].shape[0]
    columns: list[list[bytes]] = []
    before = _head(name, response.version or model.version)
    for tensor, row in zip(rows.outputs, response.outputs, strict=True):
        columns.append([before + _preamble(row.name, row.datatype, row.shape) + b"["] * count)
        table = np.frombuffer(tensor.data, NUMPY[tensor.datatype]).reshape(count, -1)
        columns.append(json_dumps(table, option=NUMPY_OPTION)[2:-2].split(b"],["))
        before = b"]},"
    columns.append([b"]" + _END] * count)
    return [b"".join(parts) for parts in zip(*columns, strict=True)]


def _encode_wanted(
    request: InferRequest, response: InferResponse, model: ModelInfo
) -> tuple[bytes, int | None]:
    """An answer with a selection of outputs, with classes, or with binary data."""
    form = ("v2", request.model, request.form, *(
        (output.name, output.binary, output.classification) for output in request.outputs
    ))  # fmt: skip
    kept = response.encoded
    if kept is not None and form in kept:
        text, blobs = kept[form]
    else:
        text, blobs = _parts(request, response, model)
        if kept is not None and len(kept) < _MAX_FORMS:
            kept[form] = (text, blobs)
    if request.id:
        text = _with_id(request.id, text)
    if not blobs:
        return text, None
    return b"".join((text, *blobs)), len(text)


def _parts(
    request: InferRequest, response: InferResponse, model: ModelInfo
) -> tuple[bytes, list[Buffer]]:
    """The JSON part and the blobs that follow it, empty ones left out."""
    blobs: list[Buffer] = []
    items = []
    for tensor, binary in _wanted(request, response, model):
        if binary:
            size = tensor.nbytes
            preamble = _preamble(tensor.name, tensor.datatype, tensor.shape)
            items.append(
                b'%b"parameters":{"binary_data_size":%d}'
                % (preamble.removesuffix(b'"data":'), size)
            )
            if size:
                blobs.append(tensor.data)
        else:
            preamble = _preamble(tensor.name, tensor.datatype, tensor.shape)
            items.append(preamble + json_data(tensor))
    head = _head(request.model, response.version or model.version)
    if response.parameters:
        head = _with_parameters(head, response.parameters)
    return b"".join((head, _NEXT.join(items), _END if items else b"]}")), blobs


def _wanted(
    request: InferRequest, response: InferResponse, model: ModelInfo
) -> list[tuple[Tensor, bool]]:
    if not request.outputs:
        return [(tensor, request.form == BINARY) for tensor in response.outputs]
    by_name = {tensor.name: tensor for tensor in response.outputs}
    wanted = []
    for output in request.outputs:
        tensor = by_name.get(output.name)
        if tensor is None:
            raise BadAnswer(f"output '{output.name}' is missing from the worker's answer")
        if output.classification:
            tensor = classify(
                tensor,
                output.classification,
                batched=model.batched,
                labels=model.labels.get(output.name, ()),
            )
        # The flag for all outputs covers those that are not listed, as in other servers.
        wanted.append((tensor, output.binary is True))
    return wanted


@lru_cache(maxsize=256)
def _head(model: str, version: str) -> bytes:
    text = b'{"model_name":' + json_dumps(model)
    if version:
        text += b',"model_version":' + json_dumps(version)
    return text + _OUTPUTS


@lru_cache(maxsize=1024)
def _preamble(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    return b'{"name":%b,"datatype":%b,"shape":%b,"data":' % (
        json_dumps(name), json_dumps(datatype), json_dumps(shape),
    )  # fmt: skip


def _with_parameters(head: bytes, parameters: dict[str, Any]) -> bytes:
    return head.replace(
        b',"outputs":[', b',"parameters":' + json_dumps(parameters) + b',"outputs":['
    )


def _with_id(id_: str, body: bytes) -> bytes:
    return b'{"id":%b,%b' % (json_dumps(id_), body[1:])


def _clean(text: str) -> str:
    """*text* without lone surrogates, which have no UTF-8."""
    return text.encode("utf-8", "replace").decode()
