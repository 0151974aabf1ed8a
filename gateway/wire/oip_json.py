# SPDX-License-Identifier: Apache-2.0
"""Tensor data as JSON: between a list of values, flat or nested, and a tensor's buffer.

msgspec checks the type of every value in C while it reads, and `struct` its range while it packs,
so that a strict check costs nothing on top of the conversion.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import numpy as np
import orjson

from gateway.errors import InvalidRequest
from gateway.wire.tensor import ITEM_SIZE, NUMPY, Tensor, join_elements, split_elements

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.wire.tensor import Buffer

# The struct code of each datatype whose values JSON can carry.
CODE: Final[dict[str, str]] = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "FP32": "f", "FP64": "d",
}  # fmt: skip

# What the short way decodes: a truth value is no number in JSON.
PLAIN: Final = frozenset(CODE) - {"BOOL"}

# JSON has numbers of any precision, but no server agrees on what a half would round to.
BINARY_ONLY: Final = frozenset({"FP16", "BF16"})

# What JSON writes as plain numbers or truth values.
JSON_NUMBERS: Final = frozenset(CODE)

MAX_DEPTH: Final = 100
# Up to here a tuple of Python numbers is written faster than a numpy array.
_SHORT: Final = 64

Values: TypeAlias = list[Any]
_Decode: TypeAlias = "Callable[[msgspec.Raw | bytes], Any]"

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_LONE_SURROGATE: Final = re.compile(
    rb"\\u[dD][89aAbB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_NON_FINITE: Final = (b"NaN", b"Infinity", b"-Infinity", b"nan", b"inf", b"-inf")

json_dumps = orjson.dumps
NUMPY_OPTION: Final = orjson.OPT_SERIALIZE_NUMPY


@lru_cache(maxsize=256)
def decoder(datatype: str, depth: int) -> _Decode:
    """A strict decoder of values of *datatype* in lists nested *depth* deep."""
    kind: Any = {"BOOL": bool, "FP32": float, "FP64": float, "BYTES": str}.get(datatype, int)
    for _ in range(depth):
        kind = list[kind]
    decode: _Decode = msgspec.json.Decoder(kind).decode
    return decode


@lru_cache(maxsize=1024)
def packer(datatype: str, count: int) -> Callable[..., bytes]:
    """A function of *count* values that gives their buffer; ask only for counts that arrived."""
    return struct.Struct(f"<{count}{CODE[datatype]}").pack


@lru_cache(maxsize=1024)
def _unpacker(datatype: str, size: int) -> Callable[[Buffer], tuple[Any, ...]]:
    return struct.Struct(f"<{size // ITEM_SIZE[datatype]}{CODE[datatype]}").unpack


def decode_values(raw: msgspec.Raw, datatype: str, shape: tuple[int, ...], name: str) -> Values:
    """The values of *raw*, flat, in row-major order; *raw* is a flat list or nested as *shape*.

    The count of a flat list is the caller's to check. Raises InvalidRequest.
    """
    rank = len(shape)
    nested = rank != 1 and bytes(memoryview(raw)[:8]).count(b"[") != 1
    if not nested:
        try:
            values: Values = decoder(datatype, 1)(raw)
            return values
        except msgspec.ValidationError as error:
            if rank == 1 or "got `array`" not in str(error):
                raise InvalidRequest(explain(error, f"input '{name}' data")) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(explain(error, f"input '{name}' data")) from None
    try:
        return flatten(decoder(datatype, rank)(raw), shape, name)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = explain(error, f"input '{name}' data")
        raise InvalidRequest(f"{reason} (flat, or nested as shape {list(shape)})") from None


def flatten(nested: Any, shape: tuple[int, ...], name: str) -> Values:  # noqa: ANN401 - any depth
    """The values of lists nested as *shape* says; raises InvalidRequest where they are not."""
    if not shape:
        return [nested]
    level: Values = [nested]
    for depth, extent in enumerate(shape):
        for row in level:
            if len(row) != extent:
                raise InvalidRequest(
                    f"input '{name}': a list at depth {depth + 1} of data has {len(row)} elements, "
                    f"shape {list(shape)} says {extent}"
                )
        level = list(chain.from_iterable(level))
    return level


def pack_values(values: Values, datatype: str, name: str) -> bytes:
    """The buffer of *values*, which have the type that `decoder` gives for *datatype*.

    Raises InvalidRequest for a number that *datatype* cannot hold.
    """
    try:
        if datatype == "BYTES":
            return join_elements(values)
        return packer(datatype, len(values))(*values)
    except (struct.error, OverflowError):
        raise InvalidRequest(out_of_range(values, datatype, name)) from None
    except UnicodeEncodeError:
        raise InvalidRequest(f"input '{name}': data holds text that is not Unicode") from None


def out_of_range(values: Values, datatype: str, name: str) -> str:
    """Which of *values* does not fit *datatype*, in words."""
    pack = packer(datatype, 1)
    position = 0
    for position, value in enumerate(values):  # noqa: B007 - the position of the first misfit
        try:
            pack(value)
        except (struct.error, OverflowError):
            break
    limits = ""
    if datatype not in {"FP32", "FP64"}:
        info = np.iinfo(NUMPY[datatype])
        limits = f" ({info.min} to {info.max})"
    return f"input '{name}': element {position} of data is out of range for {datatype}{limits}"


def json_data(tensor: Tensor) -> bytes:
    """The elements of *tensor* as a flat JSON array; NaN and infinities become ``null``.

    Raises InvalidRequest for what JSON cannot carry: FP16, BF16, and bytes that are not UTF-8.
    """
    datatype, data = tensor.datatype, tensor.data
    if datatype in {"FP32", "FP64"}:
        # Not by way of Python floats: numpy's are written with the digits that float32 needs.
        return json_dumps(np.frombuffer(data, NUMPY[datatype]), option=NUMPY_OPTION)
    if datatype == "BYTES":
        elements = split_elements(data, prod(tensor.shape), tensor.name)
        try:
            return json_dumps([element.decode() for element in elements])
        except UnicodeDecodeError:
            raise InvalidRequest(
                f"output '{tensor.name}' holds bytes that are not UTF-8, which JSON cannot carry; "
                "ask for it as binary data"
            ) from None
    if datatype in BINARY_ONLY:
        raise InvalidRequest(binary_only("output", tensor.name, datatype))
    if len(data) <= _SHORT:
        return json_dumps(_unpacker(datatype, len(data))(data))
    return json_dumps(np.frombuffer(data, NUMPY[datatype]), option=NUMPY_OPTION)


def binary_only(side: str, name: str, datatype: str) -> str:
    """The refusal of a datatype that travels as bytes only."""
    parameter = "binary_data_size" if side == "input" else "binary_data"
    return (
        f"{side} '{name}': {datatype} cannot be carried by JSON; "
        f"use binary data (parameter {parameter})"
    )


def depth_of(body: bytes | bytearray) -> int:
    """How deep the lists and objects of a JSON text nest; its strings are left out."""
    marks = np.frombuffer(_STRING.sub(b"", body), np.uint8)
    opening = (marks == ord("[")) | (marks == ord("{"))
    closing = (marks == ord("]")) | (marks == ord("}"))
    steps = opening.astype(np.int32) - closing
    return int(np.cumsum(steps).max(initial=0))


def explain(error: Exception, where: str, body: Buffer = b"") -> str:
    """What msgspec found wrong, in the words of this server.

    *where* is what the error's path is relative to, "" for the body as a whole.
    """
    if isinstance(error, UnicodeDecodeError):
        return f"{where or 'body'}: not valid UTF-8"
    if isinstance(error, RecursionError):
        return f"{where or 'body'}: nested more than {MAX_DEPTH} deep"
    text, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`").replace("[...]", " (a value)")
    place = f"{where}{path}".rstrip() if where else path.removeprefix(".")
    if not isinstance(error, msgspec.ValidationError):
        return _malformed(text, place, body)
    text = text[0].lower() + text[1:].replace("`", "")
    return f"{place or 'body'}: {text}"


def _malformed(text: str, place: str, body: Buffer) -> str:
    text = text.removeprefix("JSON is malformed: ")
    if text == "Input data was truncated":
        text = "the text ends too early"
        # Near the end of a body msgspec looks for the second half of a pair beyond it.
        if lone := _LONE_SURROGATE.search(body):
            text = f"half of a UTF-16 surrogate pair is no character (byte {lone.start()})"
    if found := _BYTE.search(text):
        at = int(found[1])
        if bytes(body[at : at + 9]).startswith(_NON_FINITE):
            text = f"NaN and infinities have no JSON form; use binary data (byte {at})"
    return f"{place or 'body'}: malformed JSON: {text}"
