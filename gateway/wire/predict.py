# SPDX-License-Identifier: Apache-2.0
"""The v1 ``:predict`` API, requests: rows (``instances``) or columns (``inputs``) to tensors.

It has no datatypes and no shapes: both follow from the model, and the shape from the nesting.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from gateway.errors import InvalidRequest
from gateway.wire.oip_json import MAX_DEPTH, decoder, depth_of, explain, flatten, pack_values
from gateway.wire.tensor import Tensor, join_elements

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.wire.signature import InputCheck, Signature
    from gateway.wire.tensor import Array, Buffer

ROWS: Final = "rows"
COLUMNS: Final = "columns"

_BF16_INFINITY: Final = 0x7F80

_ABSENT: Final = msgspec.Raw(b"")
_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Predict(msgspec.Struct, gc=False):
    signature_name: str | None = None
    instances: msgspec.Raw = _ABSENT
    inputs: msgspec.Raw = _ABSENT


class _Encoded(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    b64: str


class _StrictPredict(_Predict, forbid_unknown_fields=True, gc=False):
    pass


# As in v2: a body without unknown fields cannot nest deeper than the types that read it.
_decode = msgspec.json.Decoder(_StrictPredict).decode
_decode_lax = msgspec.json.Decoder(_Predict).decode
_decode_row = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_columns = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def decode_predict(body: Buffer, signature: Signature) -> tuple[tuple[Tensor, ...], str]:
    """The inputs in *body*, checked against *signature*, and `ROWS` or `COLUMNS`.

    Raises InvalidRequest.
    """
    document = _parse(bytes(body) if isinstance(body, memoryview) else body)
    if document.signature_name not in {None, "", "serving_default"}:
        raise InvalidRequest(
            f"signature_name: '{str(document.signature_name)[:64]}' given, "
            "'serving_default' is the only one"
        )
    by_row = document.instances is not _ABSENT
    if by_row == (document.inputs is not _ABSENT):
        raise InvalidRequest("body: exactly one of 'instances' and 'inputs' must be set")
    if (table := signature.table) is not None:
        if by_row:
            return table.instances(document.instances, "instances"), ROWS
        return table.by_column(document.inputs, "inputs"), COLUMNS
    given = _rows(document.instances, signature) if by_row else _columns(document.inputs, signature)
    signature.check_names(list(given))
    tensors = tuple(_tensor(check, given[name]) for name, check in signature.inputs.items())
    signature.check_rows(tensors)
    return tensors, ROWS if by_row else COLUMNS


def _parse(body: bytes | bytearray) -> _Predict:
    try:
        if not body.isascii():
            codecs.utf_8_decode(body, "strict", True)  # noqa: FBT003 - takes no keywords
        return _decode(body)
    except msgspec.ValidationError:
        pass
    except _FAULTS as error:
        raise InvalidRequest(explain(error, "", body)) from None
    try:
        if depth_of(body) > MAX_DEPTH:
            raise InvalidRequest(f"body: nested more than {MAX_DEPTH} deep")
        return _decode_lax(body)
    except _FAULTS as error:
        raise InvalidRequest(explain(error, "", body)) from None


def _rows(raw: msgspec.Raw, signature: Signature) -> dict[str, msgspec.Raw]:
    """The instances as one list of values for each input."""
    if signature.only is not None and not _holds_names(raw, signature):
        return {signature.only.name: raw}
    try:
        rows = _decode_row(raw)
    except _FAULTS as error:
        raise InvalidRequest(explain(error, "instances", b"")) from None
    for number, row in enumerate(rows):
        if unknown := row.keys() - signature.inputs.keys():
            raise signature.unknown_input(min(unknown))
        if missing := signature.inputs.keys() - row.keys():
            raise InvalidRequest(f"instances[{number}]: input '{min(missing)}' is missing")
    return {
        name: msgspec.Raw(b"[" + b",".join([bytes(row[name]) for row in rows]) + b"]")
        for name in signature.inputs
    }


def _columns(raw: msgspec.Raw, signature: Signature) -> dict[str, msgspec.Raw]:
    if signature.only is not None and not _holds_names(raw, signature):
        return {signature.only.name: raw}
    try:
        columns = _decode_columns(raw)
    except _FAULTS as error:
        raise InvalidRequest(explain(error, "inputs", b"")) from None
    for name in columns:
        if name not in signature.inputs:
            raise signature.unknown_input(name)
    return columns


def _holds_names(raw: msgspec.Raw, signature: Signature) -> bool:
    """Whether *raw* gives values by input name, although the model has one input only.

    An object is otherwise only ever the base64 form of a string.
    """
    start = bytes(memoryview(raw)[:64]).lstrip(b" \t\r\n[")
    if not start.startswith(b"{"):
        return False
    check = signature.only
    return check is None or check.datatype != "BYTES" or not start[1:].lstrip().startswith(b'"b64"')


def _tensor(check: InputCheck, raw: msgspec.Raw) -> Tensor:
    name, datatype, rank = check.name, check.datatype, len(check.shape)
    try:
        nested = _nested_decoder(datatype, rank)(raw)
    except _FAULTS as error:
        reason = explain(error, f"input '{name}' ")
        raise InvalidRequest(
            f"{reason} (expected values of {datatype} nested as {list(check.shape)})"
        ) from None
    shape = _shape_of(nested, check)
    check.count(shape)
    values = flatten(nested, shape, name)
    return Tensor(name, datatype, shape, _pack(values, datatype, name))


@lru_cache(maxsize=256)
def _nested_decoder(datatype: str, depth: int) -> Callable[[msgspec.Raw], Any]:
    if datatype in {"FP16", "BF16"}:
        # Here JSON is all there is, so that numbers are rounded to what the model takes.
        return decoder("FP32", depth)
    if datatype != "BYTES":
        return decoder(datatype, depth)
    kind: Any = str | _Encoded
    for _ in range(depth):
        kind = list[kind]
    decode: Callable[[msgspec.Raw], Any] = msgspec.json.Decoder(kind).decode
    return decode


def _shape_of(nested: Any, check: InputCheck) -> tuple[int, ...]:  # noqa: ANN401 - any depth
    """The shape that the first element of each level says; `flatten` holds the rest to it."""
    shape = []
    level = nested
    for expected in check.shape:
        if level is None:
            # Below an empty list the model says what there would be.
            shape.append(max(expected, 0))
            continue
        shape.append(len(level))
        level = level[0] if level else None
    return tuple(shape)


def _pack(values: list[Any], datatype: str, name: str) -> bytes:
    if datatype == "BYTES":
        return join_elements(
            [
                _from_base64(value.b64, name) if isinstance(value, _Encoded) else value
                for value in values
            ]
        )
    if datatype not in {"FP16", "BF16"}:
        return pack_values(values, datatype, name)
    try:
        data = struct.pack(f"<{len(values)}{'e' if datatype == 'FP16' else 'f'}", *values)
    except (struct.error, OverflowError):
        raise InvalidRequest(f"input '{name}': a number is out of range for {datatype}") from None
    if datatype == "FP16":
        return data
    # The upper half, rounded to the nearest and to even from halfway.
    bits = np.frombuffer(data, "<u4")
    upper: Array = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
    if (upper & 0x7FFF == _BF16_INFINITY).any():
        raise InvalidRequest(f"input '{name}': a number is out of range for {datatype}")
    return bytes(upper)


def _from_base64(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"input '{name}': b64 does not hold base64") from None
