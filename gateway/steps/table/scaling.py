# SPDX-License-Identifier: Apache-2.0
"""Operations that move and stretch numbers: what scikit-learn's scalers do, NaN passed through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np

from gateway.steps.table.operation import Change, Elementwise, spread, upright
from gateway.steps.table.plan import Place
from gateway.wire.tensor import Array

Numbers = float | tuple[float, ...]


class Moments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is subtracted and what is divided by then, for each column; empty for not at all."""

    center: tuple[float, ...]
    scale: tuple[float, ...]


class Lines(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``x * scale + offset`` for each column."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]


class Scale(Elementwise, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``x * factor + offset``."""

    kind: ClassVar[str] = "scale"

    factor: Annotated[
        Numbers, msgspec.Meta(description="One number, or one for each column; 1 by default.")
    ] = 1.0
    offset: Annotated[
        Numbers, msgspec.Meta(description="One number, or one for each column; 0 by default.")
    ] = 0.0

    def change(self, places: Sequence[Place], learnt: Any) -> Change:  # noqa: ANN401, ARG002
        """A multiplication and an addition."""
        count = len(places)
        factor = upright(spread(self.factor, count), count, "factor")
        offset = upright(spread(self.offset, count), count, "offset")
        return _line(factor, offset)


class _Centered(Elementwise, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scaler that subtracts and divides."""

    learns: ClassVar[type[msgspec.Struct] | None] = Moments

    def change(self, places: Sequence[Place], learnt: Any) -> Change:  # noqa: ANN401 - Moments
        """A subtraction and a division, each where there is something to it."""
        count = len(places)
        center = upright(learnt.center, count, "center") if learnt.center else None
        scale = upright(learnt.scale, count, "scale") if learnt.scale else None
        return centered(center, scale)


class Standard(_Centered, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``(x - mean) / std`` as StandardScaler: std with ddof 0, and 1 where it is 0."""

    kind: ClassVar[str] = "standard"

    with_mean: Annotated[bool, msgspec.Meta(description="Whether the mean is subtracted.")] = True
    with_std: Annotated[bool, msgspec.Meta(description="Whether it is divided by std.")] = True
    mean: Annotated[
        tuple[float, ...], msgspec.Meta(description="For each column, in place of learnt ones.")
    ] = ()
    std: Annotated[
        tuple[float, ...], msgspec.Meta(description="For each column, in place of learnt ones.")
    ] = ()

    def __post_init__(self) -> None:
        if bool(self.mean) != bool(self.std):
            raise ValueError("'mean' and 'std' are given together, or both learnt")

    def given(self, count: int) -> Moments | None:  # noqa: ARG002 - checked when it is bound
        """*mean* and *std*."""
        if not self.mean:
            return None
        std = tuple(each or 1.0 for each in self.std)
        return Moments(self.mean if self.with_mean else (), std if self.with_std else ())


class Robust(_Centered, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``(x - median) / (high - low quantile)`` as RobustScaler."""

    kind: ClassVar[str] = "robust"

    with_centering: Annotated[
        bool, msgspec.Meta(description="Whether the median is subtracted.")
    ] = True
    with_scaling: Annotated[
        bool, msgspec.Meta(description="Whether it is divided by the range.")
    ] = True
    quantile_range: Annotated[
        tuple[float, ...],
        msgspec.Meta(min_length=2, max_length=2, description="Low and high quantile, in percent."),
    ] = (25.0, 75.0)


class MaxAbs(_Centered, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``x / max(abs(x))`` as MaxAbsScaler."""

    kind: ClassVar[str] = "max_abs"


class MinMax(Elementwise, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stretches what was between minimum and maximum to a range, as MinMaxScaler."""

    kind: ClassVar[str] = "min_max"
    learns: ClassVar[type[msgspec.Struct] | None] = Lines

    range: Annotated[
        tuple[float, ...],
        msgspec.Meta(min_length=2, max_length=2, description="Where minimum and maximum come to."),
    ] = (0.0, 1.0)
    clip: Annotated[
        bool, msgspec.Meta(description="Whether what was outside is brought to the border.")
    ] = False

    def __post_init__(self) -> None:
        if len(self.range) == 2 and self.range[0] >= self.range[1]:
            raise ValueError("the first number of 'range' must be below the second")

    def change(self, places: Sequence[Place], learnt: Any) -> Change:  # noqa: ANN401 - Lines
        """A multiplication and an addition, with *clip* two comparisons."""
        count = len(places)
        line = _line(upright(learnt.scale, count, "scale"), upright(learnt.offset, count, "offset"))
        if not self.clip:
            return line
        low, high = self.range

        def clipped(values: Array) -> Array:
            made = line(values)
            return np.clip(made, low, high, out=made)

        return clipped


def centered(center: Array | None, scale: Array | None) -> Change:
    """``(x - center) / scale``, either of which may not be there."""
    if center is None:
        return (lambda values: values) if scale is None else (lambda values: values / scale)
    if scale is None:
        return lambda values: values - center

    def both(values: Array) -> Array:
        made: Array = values - center
        made /= scale
        return made

    return both


def _line(factor: Array, offset: Array) -> Change:
    def line(values: Array) -> Array:
        made: Array = values * factor
        made += offset
        return made

    return line
