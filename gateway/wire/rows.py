# SPDX-License-Identifier: Apache-2.0
"""Rows of tensors: cut along the first dimension, and put together again."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from gateway.errors import BadAnswer
from gateway.wire.tensor import ITEM_SIZE, Tensor, element_ends

if TYPE_CHECKING:
    from collections.abc import Sequence


def cut(tensor: Tensor, start: int, stop: int) -> Tensor:
    """The rows *start* to *stop* of *tensor*, which has them, as a view; raises InvalidRequest."""
    trailing = tensor.shape[1:]
    elements = prod(trailing)
    if size := ITEM_SIZE[tensor.datatype]:
        begin, end = start * elements * size, stop * elements * size
    else:
        ends = [0, *element_ends(tensor.data, tensor.name)]
        begin, end = ends[start * elements], ends[stop * elements]
    data = memoryview(tensor.data)[begin:end]
    return Tensor(tensor.name, tensor.datatype, (stop - start, *trailing), data)


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
