# SPDX-License-Identifier: Apache-2.0
"""Input steps that look at a series through a window: cut into windows, rolling statistics."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gateway.errors import InvalidRequest
from gateway.steps.numeric import finite
from gateway.steps.series import bound, needs_floats, read, written
from gateway.steps.step import Change, Conversion, Misfit
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Array, Tensor

Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]


class Window(Conversion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A series of n samples to windows of *size*, one every *hop*: [-1, n] to [-1, windows, size].

    drop gives ``1 + (n - size) // hop`` windows, pad as many as there must be for every sample to
    be in one.
    """

    kind: ClassVar[str] = "window"
    inline_bytes: ClassVar[int] = 256 << 10

    size: Annotated[Size, msgspec.Meta(description="Samples of a window.")]
    hop: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=1 << 20,
            description="Samples from the start of one to the start of the next; 0: size.",
        ),
    ] = 0
    last: Annotated[
        Literal["drop", "pad"],
        msgspec.Meta(description="What becomes of samples that do not fill a window."),
    ] = "drop"
    pad_value: Annotated[float, msgspec.Meta(description="What fills it up.")] = 0.0

    def __post_init__(self) -> None:
        finite("pad_value", self.pad_value)

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:
        """The series, of any length."""
        needs_floats(spec, self.kind, 2, batched=batched)
        if spec.shape[-1] not in {-1, self.size}:
            raise Misfit(
                f"windows have {self.size} samples, but input '{spec.name}' is {list(spec.shape)}"
            )
        return TensorSpec(spec.name, spec.datatype, (*spec.shape[:-2], -1))

    def convert(self, given: TensorSpec, spec: TensorSpec, *, batched: bool) -> Change:  # noqa: ARG002
        """One copy through a strided view."""
        size, hop = self.size, self.hop or self.size

        def window(tensor: Tensor) -> Tensor:
            series = read(tensor, given)
            length = series.shape[-1]
            if length < (size if self.last == "drop" else 1):
                raise InvalidRequest(
                    f"input '{tensor.name}': a series of {length} samples is too short for a "
                    f"window of {size}"
                )
            if self.last == "pad":
                missing = size + -(-max(length - size, 0) // hop) * hop - length
                if missing > 0:
                    ends = [(0, 0)] * (series.ndim - 1) + [(0, missing)]
                    series = np.pad(series, ends, constant_values=self.pad_value)
            count = 1 + (series.shape[-1] - size) // hop
            bound(tensor.name, (*series.shape[:-1], count, size))
            cut = sliding_window_view(series, size, axis=-1)[..., ::hop, :]
            return written(cut, spec, kind=self.kind)

        return window


class Rolling(Conversion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Statistics of the last *window* samples at each, as pandas: [-1, n] to [-1, n, statistics].

    What is no finite number is left out; fewer than *min_periods* numbers give NaN.
    """

    kind: ClassVar[str] = "rolling"
    inline_bytes: ClassVar[int] = 32 << 10

    window: Annotated[
        int, msgspec.Meta(ge=1, le=4096, description="Samples that are looked at, the own counted.")
    ]
    statistics: Annotated[
        tuple[Literal["mean", "std", "min", "max"], ...],
        msgspec.Meta(min_length=1, max_length=4, description="Which, in the order of the result."),
    ]
    min_periods: Annotated[
        int,
        msgspec.Meta(ge=0, le=4096, description="The fewest numbers for a result; 0: window."),
    ] = 0
    ddof: Annotated[
        int,
        msgspec.Meta(ge=0, le=1, description="What std takes off the count it divides by."),
    ] = 1
    edge: Annotated[
        Literal["keep", "drop"],
        msgspec.Meta(
            description="keep: a result for every sample. drop: none for the first window - 1."
        ),
    ] = "keep"

    def __post_init__(self) -> None:
        if self.min_periods > self.window:
            raise ValueError(f"min_periods {self.min_periods} is above window {self.window}")
        if len(set(self.statistics)) != len(self.statistics):
            raise ValueError("statistics has one twice")

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:
        """The series; of the model's length, where all samples have a result."""
        needs_floats(spec, self.kind, 2, batched=batched)
        if spec.shape[-1] not in {-1, len(self.statistics)}:
            raise Misfit(
                f"it gives {len(self.statistics)} statistics, but input '{spec.name}' is "
                f"{list(spec.shape)}"
            )
        length = spec.shape[-2]
        if length != -1 and self.edge == "drop":
            length += self.window - 1
        return TensorSpec(spec.name, spec.datatype, (*spec.shape[:-2], length))

    def convert(self, given: TensorSpec, spec: TensorSpec, *, batched: bool) -> Change:  # noqa: ARG002
        """As many passes over all series as the window has samples, twice for std."""
        window, least = self.window, self.min_periods or self.window
        first = window - 1 if self.edge == "drop" else 0

        def rolling(tensor: Tensor) -> Tensor:
            series = read(tensor, given)
            length = series.shape[-1]
            bound(tensor.name, (*series.shape, len(self.statistics) + 4))
            series[~np.isfinite(series)] = np.nan
            ends = [(0, 0)] * (series.ndim - 1) + [(window - 1, 0)]
            before = np.pad(series, ends, constant_values=np.nan)
            taps = [before[..., at : at + length] for at in range(window)]
            count = np.zeros(series.shape)
            for tap in taps:
                count += ~np.isnan(tap)
            enough = count >= least
            made = []
            for statistic in self.statistics:
                values = _STATISTICS[statistic](taps, count, self.ddof)
                made.append(np.where(enough, values, np.nan)[..., first:])
            return written(np.stack(made, axis=-1), spec, kind=self.kind)

        return rolling


# Tap by tap: what a row gives must not depend on how numpy orders the sums of other rows.
def _mean(taps: list[Array], count: Array, _: int) -> Array:
    total = np.zeros(count.shape)
    for tap in taps:
        total += np.nan_to_num(tap)
    nothing = np.full(count.shape, np.nan)
    mean: Array = np.divide(total, count, out=nothing, where=count > 0)
    return mean


def _std(taps: list[Array], count: Array, ddof: int) -> Array:
    mean = _mean(taps, count, ddof)
    squares = np.zeros(count.shape)
    for tap in taps:
        apart = np.nan_to_num(tap - mean)
        squares += apart * apart
    free = count - ddof
    nothing = np.full(count.shape, np.nan)
    variance = np.divide(squares, free, out=nothing, where=free > 0)
    std: Array = np.sqrt(variance)
    return std


def _min(taps: list[Array], _: Array, __: int) -> Array:
    lowest = taps[0]
    for tap in taps[1:]:
        lowest = np.fmin(lowest, tap)
    return lowest


def _max(taps: list[Array], _: Array, __: int) -> Array:
    highest = taps[0]
    for tap in taps[1:]:
        highest = np.fmax(highest, tap)
    return highest


_STATISTICS = {"mean": _mean, "std": _std, "min": _min, "max": _max}
