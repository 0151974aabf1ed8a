# SPDX-License-Identifier: Apache-2.0
"""Exit: columns become the inputs of a model, in the order in which they are declared.

Here, once, float64 is rounded to the model's own datatype: to the nearest, as numpy's `astype`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gateway.errors import InvalidRequest
from gateway.steps.step import FLOATS, INTEGERS, Misfit, buffer
from gateway.wire.null import NULL_TEXT
from gateway.wire.tensor import NUMPY, Array, Tensor, join_elements

if TYPE_CHECKING:
    from gateway.steps.table.plan import Blocks, Place, Plan
    from gateway.wire.model import TensorSpec


def leave(plan: Plan, places: Sequence[Place], spec: TensorSpec) -> Callable[[Blocks, int], Tensor]:
    """A function of the blocks and the number of rows that gives input *spec*; raises Misfit."""
    count, shape = len(places), spec.shape
    if len(shape) > 2 or (len(shape) == 1 and count != 1):
        raise Misfit(
            f"it gives {count} columns for input '{spec.name}' {list(shape)}, "
            "expected one of [-1, columns]"
        )
    if len(shape) == 2 and shape[1] not in {-1, count}:
        names = ", ".join(place.name for place in places[:8])
        raise Misfit(
            f"it gives {count} columns ({names}{', …' if count > 8 else ''}), "
            f"but input '{spec.name}' takes {shape[1]}"
        )
    trailing = (count,) if len(shape) == 2 else ()
    if spec.datatype == "BYTES":
        return _texts(places, spec, trailing)
    if spec.datatype not in FLOATS | INTEGERS | {"BOOL"}:
        raise Misfit(f"input '{spec.name}' is {spec.datatype}, which no column can become")
    for place in places:
        if place.text:
            raise Misfit(
                f"column '{place.name}' is still text behind the operations, "
                f"input '{spec.name}' is {spec.datatype}; encode it, or leave it out of 'output'"
            )
    return _numbers(plan, places, spec, trailing)


def _numbers(
    plan: Plan, places: Sequence[Place], spec: TensorSpec, trailing: tuple[int, ...]
) -> Callable[[Blocks, int], Tensor]:
    name, datatype, dtype = spec.name, spec.datatype, NUMPY[spec.datatype]
    take, is_float = plan.numbers(places), spec.datatype in FLOATS

    def numbers(blocks: Blocks, rows: int) -> Tensor:
        values = take(blocks)
        made = np.ascontiguousarray(values.T, dtype) if is_float else _whole(values, places, spec)
        if is_float and not np.isfinite(made).all():
            _refuse_overflow(values, made, places, datatype)
        return Tensor(name, datatype, (rows, *trailing), buffer(made.reshape(-1)))

    return numbers


def _whole(values: Array, places: Sequence[Place], spec: TensorSpec) -> Array:
    """*values* as integers or truth values, row by row; raises InvalidRequest for what is none."""
    dtype = NUMPY[spec.datatype]
    low, high = (0, 2) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max + 1)
    # Written so that NaN is wrong too.
    wrong = ~((np.trunc(values) == values) & (values >= low) & (values < high))
    if wrong.any():
        _refuse(wrong, values, places, spec.datatype)
    return np.ascontiguousarray(values.T, dtype)


def _refuse_overflow(values: Array, made: Array, places: Sequence[Place], datatype: str) -> None:
    # A NaN that a column keeps goes on to the model; infinity is never meant.
    wrong = np.isinf(made.T)
    if wrong.any():
        _refuse(wrong, values, places, datatype)


def _refuse(wrong: Array, values: Array, places: Sequence[Place], datatype: str) -> None:
    row, at = np.argwhere(wrong.T)[0].tolist()
    place = places[at]
    name = "" if place.name == place.source else f"{place.name} "
    raise InvalidRequest(
        f"row {row}, column '{place.source}': becomes {name}{float(values[at, row]):.6g}, "
        f"out of range for {datatype}"
    )


def _texts(
    places: Sequence[Place], spec: TensorSpec, trailing: tuple[int, ...]
) -> Callable[[Blocks, int], Tensor]:
    for place in places:
        if not place.text:
            raise Misfit(f"column '{place.name}' is a number, input '{spec.name}' is BYTES")
    name, sources = spec.name, [place.block for place in places]

    def texts(blocks: Blocks, rows: int) -> Tensor:
        columns = [blocks[source] for source in sources]
        elements = [each for row in zip(*columns, strict=True) for each in row]
        if NULL_TEXT in elements:
            row, at = divmod(elements.index(NULL_TEXT), len(places))
            raise InvalidRequest(
                f"row {row}, column '{places[at].source}': null given, expected text"
            )
        return Tensor(name, "BYTES", (rows, *trailing), join_elements(elements))

    return texts
