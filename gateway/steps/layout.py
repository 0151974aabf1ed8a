# SPDX-License-Identifier: Apache-2.0
"""Input steps on shapes: reshape. Values stay as they are, and no byte is moved."""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar

import msgspec

from gateway.errors import InvalidRequest
from gateway.steps.step import Change, Misfit, OneInput
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Tensor

Dimension = Annotated[int, msgspec.Meta(ge=-1)]
Shape = Annotated[tuple[Dimension, ...], msgspec.Meta(min_length=1)]


class Reshape(OneInput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same elements in another shape; a first dimension of -1, the batch, is kept."""

    kind: ClassVar[str] = "reshape"

    source_shape: Annotated[
        Shape, msgspec.Meta(description="The shape that clients send; -1 first is the batch.")
    ] = msgspec.field(name="from")
    shape: Annotated[
        Shape, msgspec.Meta(description="The shape that comes out; -1 first where 'from' has it.")
    ]

    def __post_init__(self) -> None:
        before, after = self.source_shape, self.shape
        if -1 in before[1:] or -1 in after[1:]:
            raise ValueError("only the first dimension, the batch, may be -1")
        if (before[0] == -1) != (after[0] == -1):
            raise ValueError("the batch, -1, must come first in both shapes or in none")
        if prod(before) != prod(after):
            raise ValueError(
                f"{list(before)} has {abs(prod(before))} elements a row, "
                f"{list(after)} has {abs(prod(after))}"
            )

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:
        """The datatype of *spec* in the shape that is sent."""
        fits = len(spec.shape) == len(self.shape) and all(
            -1 in {given, needed} or given == needed
            for given, needed in zip(self.shape, spec.shape, strict=True)
        )
        if not fits:
            raise Misfit(
                f"it gives {list(self.shape)}, but input '{spec.name}' is "
                f"{list(spec.shape)} behind it"
            )
        if batched != (self.shape[0] == -1):
            raise Misfit(
                f"input '{spec.name}' is {list(spec.shape)}; "
                + ("-1 must come first in both shapes" if batched else "-1 has no place here")
            )
        return TensorSpec(spec.name, spec.datatype, self.source_shape)

    def change(self, spec: TensorSpec, *, batched: bool) -> Change:
        """Another shape over the same buffer."""
        row_before = self.source_shape[1:] if batched else self.source_shape
        row_after = self.shape[1:] if batched else self.shape

        def reshape(tensor: Tensor) -> Tensor:
            given = tensor.shape
            if (given[1:] if batched else given) != row_before or not given:
                raise InvalidRequest(
                    f"input '{tensor.name}': shape {list(given)} given, "
                    f"{list(spec.shape)} expected, where -1 is any number"
                )
            shape = (given[0], *row_after) if batched else row_after
            return Tensor(tensor.name, tensor.datatype, shape, tensor.data)

        return reshape
