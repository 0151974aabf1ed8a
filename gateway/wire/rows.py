# SPDX-License-Identifier: Apache-2.0
"""Rows of tensors: cut along the first dimension, and put together again."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from gateway.errors import BadAnswer, InvalidRequest
from gateway.wire.tensor import ITEM_SIZE, Tensor, element_ends

if TYPE_CHECKING:
    from collections.abc import Sequence


def row_bounds(tensor: Tensor) -> Sequence[int]:
    """Where each row of *tensor* begins in its data, and the last one ends.

    The rows of BYTES are of different sizes; raises InvalidRequest where its data is not what the
    shape says.
    """
    rows, elements = tensor.shape[0], prod(tensor.shape[1:])
    if item := ITEM_SIZE[tensor.datatype]:
        size = item * elements
        return range(0, (rows + 1) * size, size) if size else [0] * (rows + 1)
    ends = [0, *element_ends(tensor.data, tensor.name)]
    if len(ends) != rows * elements + 1:
        raise InvalidRequest(
            f"tensor '{tensor.name}': {rows * elements} elements expected, {len(ends) - 1} found"
        )
    return [ends[row * elements] for row in range(rows + 1)]


def cut(tensor: Tensor, start: int, stop: int) -> Tensor:
    """The rows *start* to *stop* of *tensor*, which has them, as a view; raises InvalidRequest."""
    bounds = row_bounds(tensor)
    data = memoryview(tensor.data)[bounds[start] : bounds[stop]]
    return Tensor(tensor.name, tensor.datatype, (stop - start, *tensor.shape[1:]), data)


def taken(tensor: Tensor, rows: Sequence[int]) -> Tensor:
    """Those *rows* of *tensor*, in that order, copied; raises InvalidRequest."""
    bounds = row_bounds(tensor)
    data = memoryview(tensor.data)
    picked = b"".join([data[bounds[row] : bounds[row + 1]] for row in rows])
    return Tensor(tensor.name, tensor.datatype, (len(rows), *tensor.shape[1:]), picked)


def join(parts: Sequence[tuple[Tensor, ...]], rows: Sequence[int]) -> tuple[Tensor, ...]:
    """One tensor of each column of *parts*, whose first dimensions must be *rows*.

    Raises BadAnswer where they are not, or where two parts differ in what a row is.
    """
    joined = []
    for column in zip(*parts, strict=True):
        first = column[0]
        for part, count in zip(column, rows, strict=True):
            if part.shape[:1] != (count,) or part.shape[1:] != first.shape[1:]:
                raise BadAnswer(
                    f"output '{part.name}' has shape {list(part.shape)} for {count} rows, "
                    f"beside {list(first.shape)} for {rows[0]}"
                )
        data = b"".join([part.data for part in column])
        shape = (sum(rows), *first.shape[1:])
        joined.append(Tensor(first.name, first.datatype, shape, data))
    return tuple(joined)
