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

from gateway.errors import InvalidRequest
from gateway.wire.inline_labels import PARAMETER, given_labels
from gateway.wire.message import NEVER, NO_RULES, CacheRules, InferRequest, Trace
from gateway.wire.oip_binary import Blobs, raw_input
from gateway.wire.oip_inputs import Input, read_inputs
from gateway.wire.oip_json import MAX_DEPTH, PLAIN, depth_of, explain
from gateway.wire.oip_parameters import (
    BINARY,
    Output,
    Parameters,
    obey,
    requested_outputs,
)
from gateway.wire.tensor import Buffer, Tensor

if TYPE_CHECKING:
    from gateway.wire.signature import Signature

_T = TypeVar("_T")


class _Request(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    inputs: list[Input]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[Output] | None = None


class _LaxInput(Input, forbid_unknown_fields=False, gc=False):
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
    document, inputs, labels = _read(body, signature, header_length)
    request = InferRequest(
        model, inputs, id=document.id or "", deadline=deadline, trace=trace, rules=rules
    )
    if document.parameters:
        obey(document.parameters, request, arrived)
    if labels is not None or (document.parameters and PARAMETER in document.parameters):
        rows = request.rows if signature.model.batched else 1
        said = (document.parameters or {}).get(PARAMETER)
        request.labels = given_labels(said, labels, rows)
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
) -> tuple[_Request, tuple[Tensor, ...], Tensor | None]:
    if header_length is None:
        document = _parse(body)
        return document, *read_inputs(document.inputs, signature, None)
    blobs = Blobs(body, header_length)
    document = _parse(body[:header_length])
    inputs, labels = read_inputs(document.inputs, signature, blobs)
    blobs.check_used_up()
    return document, inputs, labels


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
