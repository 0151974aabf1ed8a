# SPDX-License-Identifier: Apache-2.0
"""Tensor: a name, a datatype, a shape, and one flat little-endian buffer.

The buffer is what the binary tensor extension puts on the wire, for every datatype, so that a
tensor goes from client to worker without being taken apart; numpy sees it only on demand.
"""

from __future__ import annotations

import struct
from math import prod
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np

from gateway.errors import InvalidRequest

Buffer: TypeAlias = bytes | bytearray | memoryview
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# Bytes per element of each v2 datatype; 0 marks BYTES, whose elements carry their own length.
ITEM_SIZE: Final[dict[str, int]] = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8,
    "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
    "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8, "BYTES": 0,
}  # fmt: skip

# BF16 has no numpy type: its two bytes travel as uint16, and only the worker reads them as a float.
NUMPY: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype("?"), "UINT8": np.dtype("<u1"), "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"), "UINT64": np.dtype("<u8"), "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"), "INT32": np.dtype("<i4"), "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"), "BF16": np.dtype("<u2"), "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"), "BYTES": np.dtype(object),
}  # fmt: skip

DATATYPE: Final[dict[np.dtype[Any], str]] = {
    dtype: name for name, dtype in NUMPY.items() if name != "BF16"
}


class Tensor(msgspec.Struct, eq=False, gc=False):
    """One tensor; *data* holds ``prod(shape)`` elements, row-major, little-endian.

    BYTES data is, per element, a 4-byte length and that many bytes.
    A tensor is never changed once made: batches and caches share its buffer.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Buffer

    def __repr__(self) -> str:
        return f"<Tensor {self.name} {self.datatype}{list(self.shape)} {self.nbytes} bytes>"

    @property
    def nbytes(self) -> int:
        """Size of the buffer in bytes."""
        return self.data.nbytes if isinstance(self.data, memoryview) else len(self.data)

    @property
    def rows(self) -> int:
        """The first dimension, 1 for a scalar."""
        return self.shape[0] if self.shape else 1

    def owned(self) -> Tensor:
        """This tensor with a buffer of its own, so that it does not keep a larger one alive."""
        if isinstance(self.data, bytes):
            return self
        return Tensor(self.name, self.datatype, self.shape, bytes(self.data))

    def row(self, row: int) -> Tensor:
        """Row *row* as a tensor of one row, which shares this one's buffer; not of BYTES."""
        trailing = self.shape[1:]
        stride = ITEM_SIZE[self.datatype] * prod(trailing)
        data = self.data if isinstance(self.data, memoryview) else memoryview(self.data)
        start = row * stride
        return Tensor(self.name, self.datatype, (1, *trailing), data[start : start + stride])

    def array(self) -> Array:
        """A read-only numpy view of *shape*; BYTES becomes an object array of `bytes`."""
        if self.datatype == "BYTES":
            elements = np.empty(prod(self.shape), dtype=object)
            elements[:] = split_elements(self.data, len(elements), self.name)
            return elements.reshape(self.shape)
        view = np.frombuffer(self.data, NUMPY[self.datatype]).reshape(self.shape)
        view.flags.writeable = False
        return view

    @classmethod
    def of(cls, name: str, array: Array, *, datatype: str | None = None) -> Tensor:
        """The tensor of a numpy *array*; object, str and bytes arrays become BYTES.

        Raises InvalidRequest for a dtype that has no v2 datatype, such as complex64.
        """
        if array.dtype.kind in "OSU":
            return cls(name, "BYTES", array.shape, join_elements(array.ravel().tolist()))
        if datatype is None:
            datatype = DATATYPE.get(array.dtype.newbyteorder("<"))
            if datatype is None:
                raise InvalidRequest(f"tensor '{name}': numpy type {array.dtype} has no datatype")
        dtype = NUMPY[datatype]
        if array.dtype == dtype and array.flags.c_contiguous:
            # A zero-size array cannot be cast to a flat view, and has nothing to share anyway.
            flat = array.size and array.ndim
            data: Buffer = array.data.cast("B") if flat else array.tobytes()
        else:
            data = np.ascontiguousarray(array, dtype).tobytes()
        return cls(name, datatype, array.shape, data)


def numbers(tensor: Tensor) -> Array:
    """A read-only view of *tensor* as numbers that have a decimal form; BF16 becomes float32."""
    array = tensor.array()
    if tensor.datatype == "BF16":
        # The upper half of a float32.
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def join_elements(elements: list[Any]) -> bytes:
    """The BYTES buffer of *elements*: str is encoded as UTF-8, anything else through `str`."""
    parts: list[bytes] = []
    for element in elements:
        raw = (
            element if isinstance(element, bytes)
            else element.encode() if isinstance(element, str)
            else str(element).encode()
        )  # fmt: skip
        parts.append(struct.pack("<I", len(raw)))
        parts.append(raw)
    return b"".join(parts)


def element_ends(data: Buffer, name: str) -> list[int]:
    """The offset behind each element of a BYTES buffer.

    Raises InvalidRequest where a length reaches past the end of *data*.
    """
    ends: list[int] = []
    offset, size = 0, len(data)
    while offset < size:
        if size - offset < 4:
            raise InvalidRequest(
                f"tensor '{name}': {size - offset} bytes left where a 4-byte element length begins"
            )
        length = int.from_bytes(data[offset : offset + 4], "little")
        if size - offset - 4 < length:
            raise InvalidRequest(
                f"tensor '{name}': element {len(ends)} declares {length} bytes, "
                f"{size - offset - 4} are left"
            )
        offset += 4 + length
        ends.append(offset)
    return ends


def split_elements(data: Buffer, count: int, name: str) -> list[bytes]:
    """The *count* elements of a BYTES buffer; raises InvalidRequest if it holds another number."""
    ends = element_ends(data, name)
    if len(ends) != count:
        raise InvalidRequest(f"tensor '{name}': {count} elements expected, {len(ends)} found")
    start = 0
    elements = []
    for end in ends:
        elements.append(bytes(data[start + 4 : end]))
        start = end
    return elements
