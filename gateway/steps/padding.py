# SPDX-License-Identifier: Apache-2.0
"""Padding: rows of different lengths as one array, in lengths that requests can share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from gateway.wire.tensor import Array


def width(longest: int, *, multiple_of: int, most: int) -> int:
    """The columns for rows of at most *longest*: a multiple of *multiple_of*, at most *most*.

    Requests are merged only where their widths are equal, so there must be few widths.
    """
    return min(-(-max(longest, 1) // multiple_of) * multiple_of, most)


def places(lengths: Sequence[int], columns: int, *, left: bool) -> Array:
    """Which elements of ``[len(lengths), columns]`` belong to a row: booleans.

    *left* says whether the padding stands before the row rather than behind it.
    """
    column = np.arange(columns)
    counts = np.asarray(lengths, np.int64)[:, None]
    there: Array = column >= columns - counts if left else column < counts
    return there


def padded(flat: Array, there: Array, *, fill: int, dtype: np.dtype[Any]) -> Array:
    """*flat*, all rows in one, at the *there* places of an array that is *fill* elsewhere."""
    array = np.full(there.shape, fill, dtype)
    array[there] = flat
    return array
