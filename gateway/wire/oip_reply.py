# SPDX-License-Identifier: Apache-2.0
"""Open Inference Protocol v2 over REST from the asking side: a server's body as tensors.

Servers differ: data is flat or nested, binary or not, ids and versions are there or null. What is
read is either what the model's description says, or a BadAnswer.
"""

from __future__ import annotations

from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np
import orjson

from gateway.errors import BadAnswer, InvalidRequest
from gateway.wire.tensor import ITEM_SIZE, NUMPY, Tensor, element_ends, join_elements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.wire.model import TensorSpec
    from gateway.wire.tensor import Array, Buffer

_NO_DATA: Final = msgspec.Raw(b"")
# A smaller blob is copied: cheaper than a view, and it does not keep the whole body alive.
_COPY_UP_TO: Final = 4096
_MAX_RANK: Final = 64
_MAX_BYTES: Final = 2**62


class _Output(msgspec.Struct, gc=False):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: msgspec.Raw = _NO_DATA
    parameters: dict[str, Any] | None = None


class _Reply(msgspec.Struct, gc=False):
    outputs: list[_Output]
    id: str | None = None
    model_name: str | None = None
    model_version: str | int | None = None


class _Failure(msgspec.Struct):
    error: Any = None
    detail: Any = None
    message: Any = None


# Not strict: a server that writes 64-bit integers as text, as protobuf's JSON does, is understood.
_decode: Final = msgspec.json.Decoder(_Reply, strict=False).decode
_decode_failure: Final = msgspec.json.Decoder(_Failure).decode


class Reply(NamedTuple):
    """What a server answered; *id*, *model* and *version* are "" where it does not say."""

    outputs: tuple[Tensor, ...]
    id: str
    model: str
    version: str


def decode_reply(
    body: Buffer,
    json_length: str | None,
    specs: Mapping[str, TensorSpec],
    wanted: Sequence[str] = (),
) -> Reply:
    """The answer in *body*, its outputs in the order of *wanted*, else of *specs*.

    *json_length* is the header ``Inference-Header-Content-Length``. Outputs that nobody asked for
    are left out. Raises BadAnswer for one that is missing, twice there, of another datatype, or of
    another size than its shape says, and for bytes that belong to none.
    """
    length = _length(json_length, len(body))
    try:
        reply = _decode(body[:length] if length < len(body) else body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"the answer is not v2: {error}") from None
    found: dict[str, Tensor] = {}
    offset = length
    for output in reply.outputs:
        size = (output.parameters or {}).get("binary_data_size")
        blob: Buffer | None = None
        if size is not None:
            if type(size) is not int or not 0 <= size <= len(body) - offset:
                raise BadAnswer(
                    f"output '{output.name}': binary_data_size is {size!r:.40}, "
                    f"{len(body) - offset} bytes are left in the answer"
                )
            blob = _blob(body, offset, size)
            offset += size
        spec = specs.get(output.name)
        if spec is None:
            continue
        if output.name in found:
            raise BadAnswer(f"output '{output.name}' is in the answer twice")
        found[output.name] = _tensor(output, spec, blob)
    if offset != len(body):
        raise BadAnswer(f"{len(body) - offset} bytes are left behind the last binary output")
    missing = [name for name in (wanted or specs) if name not in found]
    if missing:
        raise BadAnswer(f"output '{missing[0]}' is missing from the answer")
    version = "" if reply.model_version is None else str(reply.model_version)
    outputs = tuple(found[name] for name in (dict.fromkeys(wanted) or specs))
    return Reply(outputs, reply.id or "", reply.model_name or "", version)


def failure_text(body: Buffer, *, most: int = 500) -> str:
    """What a server says went wrong, on one line: its error object's text, or the body itself."""
    text: Any = None
    try:
        failure = _decode_failure(body)
        text = failure.error or failure.detail or failure.message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    if not isinstance(text, str):
        text = bytes(body[:most]).decode("utf-8", "replace")
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]}…"


def _length(told: str | None, size: int) -> int:
    if told is None:
        return size
    if told.isascii() and told.isdigit() and len(told) <= 19 and int(told) <= size:
        return int(told)
    raise BadAnswer(
        f"Inference-Header-Content-Length is '{told[:32]}', the answer has {size} bytes"
    )


def _blob(body: Buffer, start: int, size: int) -> Buffer:
    if size <= _COPY_UP_TO:
        return bytes(body[start : start + size])
    return memoryview(body)[start : start + size]


def _tensor(output: _Output, spec: TensorSpec, blob: Buffer | None) -> Tensor:
    name, datatype, shape = output.name, output.datatype, output.shape
    if datatype != spec.datatype:
        raise BadAnswer(f"output '{name}' is {datatype[:16]}, the model's is {spec.datatype}")
    if len(shape) > _MAX_RANK or any(extent < 0 for extent in shape):
        raise BadAnswer(f"output '{name}' has the impossible shape {list(shape)[:_MAX_RANK]}")
    count = prod(shape)
    if prod(extent or 1 for extent in shape) * (ITEM_SIZE[datatype] or 4) > _MAX_BYTES:
        raise BadAnswer(f"output '{name}' has the impossible shape {list(shape)}")
    if blob is None:
        if output.data is _NO_DATA:
            raise BadAnswer(f"output '{name}' has no data")
        return Tensor(name, datatype, shape, _from_json(output, count))
    if datatype == "BYTES":
        try:
            elements = len(element_ends(blob, name))
        except InvalidRequest as error:
            raise BadAnswer(str(error)) from None
        if elements != count:
            raise BadAnswer(f"output '{name}' has {elements} elements for shape {list(shape)}")
    elif len(blob) != count * ITEM_SIZE[datatype]:
        raise BadAnswer(f"output '{name}' has {len(blob)} bytes for {datatype}{list(shape)}")
    return Tensor(name, datatype, shape, blob)


def _from_json(output: _Output, count: int) -> bytes:
    name, datatype = output.name, output.datatype
    try:
        values = orjson.loads(memoryview(output.data))
        if not isinstance(values, list):
            values = [values]
        if datatype == "BYTES":
            data, found = _text(values)
        else:
            array = _array(values, datatype)
            data, found = array.tobytes(), array.size
    except (ValueError, TypeError, OverflowError) as error:
        raise BadAnswer(f"output '{name}': data is not {datatype}: {error}") from None
    if found != count:
        raise BadAnswer(f"output '{name}' has {found} elements for shape {list(output.shape)}")
    return data


def _text(values: list[Any]) -> tuple[bytes, int]:
    while values and all(isinstance(value, list) for value in values):
        values = list(chain.from_iterable(values))
    if not all(isinstance(value, str) for value in values):
        raise TypeError("expected text")
    return join_elements(values), len(values)


def _array(values: list[Any], datatype: str) -> Array:
    """Numbers, flat or nested, as the array of *datatype*; raises ValueError or TypeError."""
    array = np.asarray(values)
    if not array.size:
        return np.empty(0, NUMPY[datatype])
    kind, wanted = array.dtype.kind, NUMPY[datatype]
    if datatype == "BOOL":
        if kind != "b" and (kind not in "iu" or array.min() < 0 or array.max() > 1):
            raise ValueError("expected true or false")
        return array.astype(wanted)
    if datatype in {"FP16", "BF16", "FP32", "FP64"}:
        if kind == "O":
            # JSON has no NaN: servers write null in its place.
            array = np.asarray(values, np.float64)
        elif kind not in "fiu":
            raise ValueError("expected numbers")
        with np.errstate(over="ignore"):
            return _bf16(array) if datatype == "BF16" else array.astype(wanted)
    limits = np.iinfo(wanted)
    if datatype == "UINT64" and kind == "f":
        # numpy finds no integer type that holds the largest of them beside a small one.
        exact = np.asarray(values, object).ravel()
        if all(type(value) is int for value in exact):
            array, kind = exact, "u"
    if kind not in "iu":
        raise ValueError("expected whole numbers")
    if int(array.min()) < limits.min or int(array.max()) > limits.max:
        raise ValueError(f"expected numbers from {limits.min} to {limits.max}")
    return array.astype(wanted)


def _bf16(array: Array) -> Array:
    """The upper halves of float32, rounded to the nearest and to even from halfway."""
    single = array.astype(np.float32)
    bits = single.view(np.uint32)
    upper = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
    return np.where(np.isnan(single), np.uint16(0x7FC0), upper).astype("<u2")
