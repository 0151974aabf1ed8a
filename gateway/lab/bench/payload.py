# SPDX-License-Identifier: Apache-2.0
"""Payload: how many rows of a model's inputs make a request of a given size."""

from __future__ import annotations

from math import prod

from gateway.lab import LabError
from gateway.lab.load.run import Plan
from gateway.lab.load.server import Server
from gateway.lab.load.source import OPEN_DIMENSION
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import ITEM_SIZE


async def rows_of(plan: Plan, size: float) -> int:
    """Rows whose inputs are nearest to *size* bytes, 1 at the least; raises LabError."""
    async with Server(plan) as server:
        return rows_for(await server.specs(), size, dict(plan.shapes))


def rows_for(specs: list[TensorSpec], size: float, shapes: dict[str, tuple[int, ...]]) -> int:
    """The same for a model that takes *specs*; *shapes* are those of rows that are made up."""
    if not all(spec.shape and spec.shape[0] == -1 for spec in specs):
        raise LabError("--sweep payload: the model takes one row a request, whose size is fixed")
    row = sum(
        prod(shapes.get(spec.name) or _tail(spec)) * (ITEM_SIZE[spec.datatype] or OPEN_DIMENSION)
        for spec in specs
    )
    return max(1, round(size / row))


def _tail(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(OPEN_DIMENSION if length == -1 else length for length in spec.shape[1:])
