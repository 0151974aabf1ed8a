# SPDX-License-Identifier: Apache-2.0
"""Open Inference Protocol v2 over REST, requests: from a body to an InferRequest.

Pure and safe to call from any thread, so that a large body can be decoded off the event loop.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from gateway.errors import InvalidRequest, Unsupported
from gateway.wire.message import NEVER, NO_RULES, CacheRules, InferRequest, Trace
from gateway.wire.oip_binary import Blobs, binary_input, raw_input
from gateway.wire.oip_columns import columns
from gateway.wire.oip_json import MAX_DEPTH, PLAIN, depth_of, explain
from gateway.wire.oip_parameters import (
    BINARY,
    Output,
    Parameters,
    is_count,
    obey,
    requested_outputs,
)
from gateway.wire.tensor import Buffer, Tensor

if TYPE_CHECKING:
    from gateway.wire.signature import Signature

_NO_DATA: Final = msgspec.Raw(b"")
_T = TypeVar("_T")


class _Input(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    shape: tuple[int, ...]
    datatype: str
    data: msgspec.Raw = _NO_DATA
    parameters: Parameters | None = None


class _Request(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    inputs: list[_Input]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[Output] | None = None


class _LaxInput(_Input, forbid_unknown_fields=False, gc=False):
    pass


class _LaxOutput(Output, forbid_unknown_fields=False, gc=False):
    pass


class _LaxRequest(_Request, forbid_unknown_fields=False, gc=False):
    inputs: list[_LaxInput]  # type: ignore[assignment]
    outputs: list[_LaxOutput] | None = None  # type: ignore[assignment]


class _PlainInput(msgspec.Struct, Generic[_T], forbid_unknown_fields=True, gc=False):
    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[_T]


class _PlainRequest(msgspec.Struct, Generic[_T], forbid_unknown_fields=True, gc=False):
    inputs: tuple[_PlainInput[_T]]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[Output] | None = None


_FLOATS: Final = msgspec.json.Decoder(_PlainRequest[float]).decode
_INTEGERS: Final = msgspec.json.Decoder(_PlainRequest[int]).decode
_DECODE_PLAIN: Final[dict[str, Callable[[Buffer], _PlainRequest[Any]]]] = {
    datatype: _FLOATS if datatype in {"FP32", "FP64"} else _INTEGERS for datatype in PLAIN
}
_NOT_PLAIN: Final = (
    msgspec.DecodeError, UnicodeDecodeError, RecursionError,  # not of that form
    KeyError,  # a shape not seen before
    struct.error, OverflowError,  # a number out of range
)  # fmt: skip

# Without unknown fields the structs bound how deep a body nests, so that needs no check; a body
# that has some is read again by the second decoder, after one.
_decode = msgspec.json.Decoder(_Request).decode
_decode_lax = msgspec.json.Decoder(_LaxRequest).decode


def decode_request(
    body: Buffer,
    signature: Signature,
    *,
    header_length: int | None = None,
    model: str = "",
    arrived: float = 0.0,
    deadline: float = NEVER,
    trace: Trace | None = None,
    rules: CacheRules = NO_RULES,
) -> InferRequest:
    """The request in *body*, checked against *signature*; raises InvalidRequest, Unsupported.

    *header_length* is the size of the JSON part where binary tensors follow it, 0 for a body that
    is one raw tensor, None for a body that is all JSON. *arrived* is the instant that the
    parameter ``timeout`` counts from, *deadline* the latest answer that is of use otherwise.
    """
    if trace is None:
        trace = Trace()
    if header_length == 0:
        raw = (raw_input(body, signature),)
        return InferRequest(model, raw, deadline=deadline, trace=trace, rules=rules, form=BINARY)
    document, inputs = _read(body, signature, header_length)
    request = InferRequest(
        model, inputs, id=document.id or "", deadline=deadline, trace=trace, rules=rules
    )
    if document.parameters:
        obey(document.parameters, request, arrived)
    if document.outputs:
        request.outputs = requested_outputs(document.outputs, signature)
    elif request.form != BINARY:
        signature.check_json_outputs()
    return request


def header_length_of(value: str, size: int) -> int:
    """The number in ``Inference-Header-Content-Length`` for a body of *size* bytes.

    Raises InvalidRequest for anything but an integer from 0 to *size*.
    """
    # Not int() alone: that takes signs, blanks and underscores too.
    if value.isascii() and value.isdigit() and len(value) <= 19 and int(value) <= size:
        return int(value)
    raise InvalidRequest(
        f"Inference-Header-Content-Length: expected an integer from 0 to {size}, "
        f"the size of the body, got '{value[:32]}'"
    )


def decode_plain(  # noqa: PLR0917 - names would cost a tenth of the whole
    body: Buffer,
    signature: Signature,
    model: str,
    deadline: float,
    trace: Trace,
    rules: CacheRules,
) -> InferRequest | None:
    """The request that almost all are: one input of numbers, flat, in a shape seen before.

    None for every other, the faulty ones included: `decode_request` knows what to say about them.
    """
    check = signature.plain
    if check is None:
        return None
    datatype = check.datatype
    try:
        document = _DECODE_PLAIN[datatype](body)
        (item,) = document.inputs
        shape = item.shape
        count, pack = check.shapes[shape]
        if (
            item.name != check.name
            or item.datatype != datatype
            or len(item.data) != count
            or document.parameters
            or document.outputs
        ):
            return None
        tensor = Tensor(item.name, datatype, shape, pack(*item.data))
    except _NOT_PLAIN:
        return None
    # By position: names would cost a fifth of the whole.
    return InferRequest(model, (tensor,), document.id or "", (), None, deadline, 0, trace, rules)


def _read(
    body: Buffer, signature: Signature, header_length: int | None
) -> tuple[_Request, tuple[Tensor, ...]]:
    if header_length is None:
        document = _parse(body)
        return document, _inputs(document.inputs, signature, None)
    blobs = Blobs(body, header_length)
    document = _parse(body[:header_length])
    inputs = _inputs(document.inputs, signature, blobs)
    blobs.check_used_up()
    return document, inputs


def _parse(body: Buffer) -> _Request:
    if isinstance(body, memoryview):
        body = bytes(body)
    try:
        if not body.isascii():
            # Strings that nobody reads are skipped unread, and they too must be text.
            codecs.utf_8_decode(body, "strict", True)  # noqa: FBT003 - takes no keywords
        return _decode(body)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(explain(error, "", body)) from None
    try:
        if depth_of(body) > MAX_DEPTH:
            raise InvalidRequest(f"body: nested more than {MAX_DEPTH} deep")
        return _decode_lax(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(explain(error, "", body)) from None


def _inputs(given: list[_Input], signature: Signature, blobs: Blobs | None) -> tuple[Tensor, ...]:
    if signature.table is not None:
        found = [_blob(item, blobs) for item in given]
        return columns(given, found, signature, signature.table)
    tensors = []
    expected = signature.inputs
    for item in given:
        name = item.name
        check = expected.get(name)
        if check is None:
            raise signature.unknown_input(name)
        if item.datatype != check.datatype:
            raise InvalidRequest(
                f"input '{name}': datatype '{item.datatype[:16]}' given, {check.datatype} expected"
            )
        if item.parameters is None and item.data is not _NO_DATA:
            data: Buffer = check.from_json(item.shape, item.data)
        else:
            size = _binary_size(item)
            if size is None:
                data = check.from_json(item.shape, item.data)
            elif blobs is None:
                raise _no_length(name)
            else:
                data = binary_input(blobs.take(size, name), check, item.shape)
        tensors.append(Tensor(name, item.datatype, item.shape, data))
    if len(tensors) != len(expected) or len(tensors) != 1:
        signature.check_names([tensor.name for tensor in tensors])
        signature.check_rows(tensors)
    return tuple(tensors)


def _blob(item: _Input, blobs: Blobs | None) -> Buffer | None:
    size = _binary_size(item)
    if size is None:
        return None
    if blobs is None:
        raise _no_length(item.name)
    return blobs.take(size, item.name)


def _no_length(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"input '{name}': binary_data_size is set, "
        "but the header Inference-Header-Content-Length is missing"
    )


def _binary_size(item: _Input) -> int | None:
    """Where the data of *item* is: the size of its blob, or None for ``data``."""
    parameters = item.parameters or {}
    sources = [
        source
        for source, present in (
            ("data", item.data is not _NO_DATA),
            ("binary_data_size", "binary_data_size" in parameters),
            ("shared_memory_region", "shared_memory_region" in parameters),
        )
        if present
    ]
    if len(sources) != 1:
        raise InvalidRequest(
            f"input '{item.name}': exactly one of 'data', 'binary_data_size' in 'parameters' and "
            "'shared_memory_region' in 'parameters' must be set, found "
            + (" and ".join(f"'{source}'" for source in sources) or "none")
        )
    if sources[0] == "shared_memory_region":
        raise Unsupported(f"input '{item.name}': shared memory is not offered; send the data")
    if sources[0] == "data":
        return None
    size = parameters["binary_data_size"]
    if not is_count(size):
        raise InvalidRequest(f"input '{item.name}': binary_data_size must be an integer from 0")
    return int(size)
