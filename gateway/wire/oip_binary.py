# SPDX-License-Identifier: Apache-2.0
"""The binary tensor extension, requests: blobs behind the JSON part, and raw one-tensor bodies."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

from gateway.errors import InvalidRequest
from gateway.wire.tensor import Tensor

if TYPE_CHECKING:
    from gateway.wire.signature import InputCheck, Signature
    from gateway.wire.tensor import Buffer

# A smaller blob is copied: cheaper than a view, and it does not keep the body alive.
_COPY_UP_TO: Final = 4096
_TRUTH: Final = b"\0\1"


class Blobs:
    """The bytes of *body* behind its first *start*, taken from the front, one blob an input."""

    __slots__ = ("_body", "_offset")

    def __init__(self, body: Buffer, start: int) -> None:
        self._body = body
        self._offset = start

    def __repr__(self) -> str:
        return f"<Blobs {self._offset} of {len(self._body)} bytes used>"

    def take(self, size: int, name: str) -> Buffer:
        """The next *size* bytes, those of input *name*; raises InvalidRequest if there are less."""
        start = self._offset
        left = len(self._body) - start
        if size > left:
            raise InvalidRequest(
                f"input '{name}': binary_data_size is {size}, {left} bytes are left in the body"
            )
        self._offset = start + size
        if size <= _COPY_UP_TO:
            return bytes(self._body[start : start + size])
        return memoryview(self._body)[start : start + size]

    def check_used_up(self) -> None:
        """Raise InvalidRequest unless every byte belonged to an input."""
        if left := len(self._body) - self._offset:
            raise InvalidRequest(f"body: {left} bytes are left behind the last binary input")


def binary_input(blob: Buffer, check: InputCheck, shape: tuple[int, ...]) -> Buffer:
    """*blob*, found to be a tensor of *shape* of that input; raises InvalidRequest."""
    count = check.count(shape)
    if check.datatype == "BYTES":
        check_elements(blob, count, check.name)
    elif len(blob) != count * check.size:
        raise InvalidRequest(
            f"input '{check.name}': {check.datatype}{list(shape)} takes {count * check.size} "
            f"bytes, binary_data_size is {len(blob)}"
        )
    elif check.datatype == "BOOL":
        _check_truth(blob, check.name)
    return blob


def raw_input(body: Buffer, signature: Signature) -> Tensor:
    """The one input of a model whose bytes are the whole of *body*, as a batch of one row.

    The free dimension, if there is one, follows from the size. A BYTES element comes without its
    length. Raises InvalidRequest for a model or a size that leaves the shape open.
    """
    if len(signature.inputs) != 1:
        raise InvalidRequest(
            f"a body without JSON part needs a model with one input, "
            f"model '{signature.model.name}' has {len(signature.inputs)}"
        )
    (check,) = signature.inputs.values()
    shape = list(check.shape)
    if signature.model.batched:
        shape[0] = 1
    if check.datatype == "BYTES":
        rest = shape[1:] if signature.model.batched else shape
        if rest not in ([], [1], [-1]):
            raise InvalidRequest(
                f"input '{check.name}': a body without JSON part is one element, "
                f"the input's shape is {list(check.shape)}"
            )
        length = len(body).to_bytes(4, "little")
        shape = [1 if extent == -1 else extent for extent in shape]
        return Tensor(check.name, "BYTES", tuple(shape), b"".join((length, body)))
    if shape.count(-1) > 1:
        raise InvalidRequest(
            f"input '{check.name}': shape {list(check.shape)} has more than one free dimension "
            "beside the batch, so a body without JSON part leaves it open"
        )
    if -1 in shape:
        step = check.size * prod(extent for extent in shape if extent != -1)
        shape[shape.index(-1)] = len(body) // step if step else 0
    expected = check.size * prod(shape)
    if expected != len(body):
        raise InvalidRequest(
            f"input '{check.name}': {check.datatype}{list(check.shape)} as one row does not take "
            f"{len(body)} bytes"
        )
    if check.datatype == "BOOL":
        _check_truth(body, check.name)
    return Tensor(check.name, check.datatype, tuple(shape), body)


def check_elements(blob: Buffer, count: int, name: str) -> None:
    """Raise InvalidRequest unless *blob* is exactly *count* BYTES elements.

    It counts without keeping offsets, so that a blob of many empty elements costs no memory.
    """
    size = len(blob)
    if count * 4 > size:
        raise InvalidRequest(
            f"input '{name}': {count} elements take at least {count * 4} bytes, "
            f"binary_data_size is {size}"
        )
    offset = found = 0
    while size - offset >= 4:
        offset += 4 + int.from_bytes(blob[offset : offset + 4], "little")
        found += 1
    if offset > size:
        fault = f"element {found - 1} reaches past the end"
    elif offset < size:
        fault = f"{size - offset} bytes are left behind element {found - 1}"
    elif found != count:
        fault = f"{found} found"
    else:
        return
    raise InvalidRequest(
        f"input '{name}': binary data must be {count} elements, each behind its 4-byte length; "
        + fault
    )


def _check_truth(blob: Buffer, name: str) -> None:
    if bytes(blob).strip(_TRUTH):
        raise InvalidRequest(f"input '{name}': a BOOL element is a byte of 0 or 1")
