# SPDX-License-Identifier: Apache-2.0
"""Arrays: their names in annotations, and the checks that every entrance makes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Booleans: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Values: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def weights_of(weights: Values | None, rows: int) -> Floats:
    """*weights* [rows] as floats, ones for None.

    Raises ValueError for another shape and for a weight that is negative or not finite.
    """
    if weights is None:
        return np.ones(rows)
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (rows,):
        raise ValueError(f"weights of shape {list(array.shape)} for {rows} rows")
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError("a weight that is negative or not finite; expected 0 or more")
    return array


def finite(values: Values, what: str) -> Floats:
    """*values* as floats; raises ValueError that names *what* where one is not finite."""
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"a {what} that is not a finite number")
    return array


def same_rows(what: str, array: Values, rows: int) -> None:
    """Raise ValueError where *array*, which is *what*, has not *rows* rows."""
    if not array.ndim or len(array) != rows:
        raise ValueError(f"{what} of shape {list(array.shape)} for {rows} rows")


def ratio(above: Values, below: Values, zero_division: float = float("nan")) -> Floats:
    """*above* / *below* by element, *zero_division* where *below* is 0."""
    result = np.full(np.shape(below), zero_division, dtype=np.float64)
    return np.divide(above, below, out=result, where=np.asarray(below) != 0)


def pack_array(array: Values) -> dict[str, Any]:
    """*array* as plain data for msgpack or JSON with bytes."""
    plain = np.ascontiguousarray(array)
    return {"dtype": plain.dtype.str, "shape": list(plain.shape), "data": plain.tobytes()}


def unpack_array(packed: dict[str, Any]) -> Values:
    """The array that `pack_array` packed, its own copy; raises ValueError for anything else."""
    try:
        dtype = np.dtype(packed["dtype"])
        if dtype.hasobject:
            raise ValueError("a packed array of objects; expected numbers or text")
        return np.frombuffer(packed["data"], dtype=dtype).reshape(packed["shape"]).copy()
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a packed array: {error}") from None
