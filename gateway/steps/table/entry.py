# SPDX-License-Identifier: Apache-2.0
"""Entry: the tensors of a table's columns become blocks, and what is no usable number is settled.

Null, NaN and what never was there are three things until here; behind it, what a column keeps of
them is NaN in numbers and `NULL_TEXT` in text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING, Literal

import numpy as np

from gateway.errors import InvalidRequest
from gateway.steps.step import FLOATS, Tensors, wrong_datatype
from gateway.wire.null import NULL
from gateway.wire.tensor import NUMPY, Array, Tensor

if TYPE_CHECKING:
    from gateway.steps.table.plan import Blocks
    from gateway.wire.model import Column

_length = struct.Struct("<I").unpack_from
Policy = Literal["error", "keep", "default"]


def entry(
    columns: Sequence[Column], nan_policy: Mapping[str, Policy]
) -> Callable[[Tensors], Blocks]:
    """A function that makes blocks of the tensors of *columns*, as `Plan.given` places them.

    *nan_policy* says for each column of floats what becomes of NaN. The function raises
    InvalidRequest for a tensor that is not there or of another type, for NaN and infinities.
    """
    names = [column.name for column in columns]
    datatypes = [column.datatype for column in columns]
    numbers = [at for at, column in enumerate(columns) if column.datatype != "BYTES"]
    texts = [at for at, column in enumerate(columns) if column.datatype == "BYTES"]
    read = _same if len({datatypes[at] for at in numbers}) == 1 else _mixed
    whole = [at for at in numbers if datatypes[at] in {"INT64", "BOOL"} and columns[at].nullable]

    def enter(tensors: Tensors) -> Blocks:
        if [tensor.name for tensor in tensors] != names:
            tensors = _in_order(tensors, names)
        if [tensor.datatype for tensor in tensors] != datatypes:
            raise _wrong_datatype(tensors, datatypes)
        shape = tensors[0].shape
        if len(shape) != 1 or [tensor.shape for tensor in tensors].count(shape) != len(names):
            raise _wrong_shapes(tensors)
        (rows,) = shape
        given = [tensors[at] for at in numbers] if texts else tensors
        blocks: Blocks = [read(given, rows)]
        if whole:
            _blank_nulls(blocks, tensors, numbers, whole)
        if not np.isfinite(blocks[0]).all():
            blocks[0] = _settled(blocks[0], tensors, numbers, columns, nan_policy)
        for at in texts:
            blocks.append(_elements(tensors[at], rows))
        return blocks

    return enter


def _same(tensors: Sequence[Tensor], rows: int) -> Array:
    """The numbers of tensors that are all of one datatype."""
    data = b"".join([tensor.data for tensor in tensors])
    values = np.frombuffer(data, NUMPY[tensors[0].datatype]).reshape(len(tensors), rows)
    return values.astype(np.float64, copy=False)


def _mixed(tensors: Sequence[Tensor], rows: int) -> Array:
    values = np.empty((len(tensors), rows))
    for at, tensor in enumerate(tensors):
        values[at] = np.frombuffer(tensor.data, NUMPY[tensor.datatype])
    return values


def _elements(tensor: Tensor, rows: int) -> list[bytes]:
    """The elements of a BYTES tensor; one pass, since there are many of them and they are short."""
    data = bytes(tensor.data)
    size, start = len(data), 0
    elements = []
    while start + 4 <= size:
        end = start + 4 + _length(data, start)[0]
        elements.append(data[start + 4 : end])
        start = end
    if start != size or len(elements) != rows:
        raise InvalidRequest(
            f"column '{tensor.name}': {size} bytes are not {rows} elements, each behind its length"
        )
    return elements


def _blank_nulls(
    blocks: Blocks, tensors: Tensors, numbers: Sequence[int], whole: Sequence[int]
) -> None:
    """Put NaN where integers and truth values are null."""
    for at in whole:
        null = _nulls(tensors[at])
        if null.any():
            values = blocks[0] = blocks[0].copy()
            values[numbers.index(at), null] = nan


def _settled(
    values: Array,
    tensors: Tensors,
    numbers: Sequence[int],
    columns: Sequence[Column],
    nan_policy: Mapping[str, Policy],
) -> Array:
    """*values*, some of which are not finite, with what each column wants in their place."""
    settled = values.copy()
    refused = np.isinf(values)
    for at, number in enumerate(numbers):
        column = columns[number]
        wrong = np.isnan(values[at])
        if column.datatype not in FLOATS or not wrong.any():
            continue
        if column.nullable:
            wrong &= ~_nulls(tensors[number])
        policy = nan_policy[column.name]
        if policy == "default":
            settled[at, wrong] = column.default
        elif policy == "error":
            refused[at] |= wrong
    if refused.any():
        # By row: the first row at fault is named, whatever column it is in.
        row, at = np.argwhere(refused.T)[0].tolist()
        what = "NaN" if np.isnan(values[at, row]) else "infinity"
        raise InvalidRequest(
            f"row {row}, column '{columns[numbers[at]].name}': {what} given, expected a number"
        )
    return settled


def _nulls(tensor: Tensor) -> Array:
    """Where *tensor* has the bits of a null."""
    null = NULL[tensor.datatype]
    dtype = np.dtype(f"<u{len(null)}")
    found: Array = np.frombuffer(tensor.data, dtype) == np.frombuffer(null, dtype)[0]
    return found


def _in_order(tensors: Tensors, names: Sequence[str]) -> Tensors:
    by_name = {tensor.name: tensor for tensor in tensors}
    for name in names:
        if name not in by_name:
            raise InvalidRequest(f"column '{name}' is missing")
    return tuple([by_name[name] for name in names])


def _wrong_datatype(tensors: Tensors, datatypes: Sequence[str]) -> InvalidRequest:
    return next(
        wrong_datatype(tensor, datatype)
        for tensor, datatype in zip(tensors, datatypes, strict=True)
        if tensor.datatype != datatype
    )


def _wrong_shapes(tensors: Tensors) -> InvalidRequest:
    for tensor in tensors:
        if len(tensor.shape) != 1:
            return InvalidRequest(
                f"column '{tensor.name}': shape {list(tensor.shape)[:8]} given, expected [rows]"
            )
    few, many = (key(tensors, key=lambda t: t.shape[0]) for key in (min, max))
    return InvalidRequest(
        f"columns need equally many rows, but '{few.name}' has {few.shape[0]} and "
        f"'{many.name}' has {many.shape[0]}"
    )
