# SPDX-License-Identifier: Apache-2.0
"""Resample: a series at another rate, by a polyphase filter as `scipy.signal.resample_poly` has it.

With ``up / down`` the ratio of the rates in lowest terms, the series is thought of with
``up - 1`` zeros between samples, low-passed at the lower of the two Nyquist frequencies, and every
``down``-th value is kept. The filter is a sinc of ``20 * max(up, down) + 1`` taps under a Kaiser
window with beta 5, with a gain of ``up``. Outside of the series there are zeros.
"""

from __future__ import annotations

from math import ceil, gcd
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from gateway.steps.series import bound, needs_floats, read, written
from gateway.steps.step import Change, Conversion, Misfit
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Array, Tensor

Rate = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
_MAX_RATIO = 2048
_BETA = 5.0


class Resample(Conversion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """n samples at one rate to ``ceil(n * to / from)`` at another: [-1, n] stays [-1, n']."""

    kind: ClassVar[str] = "resample"
    inline_bytes: ClassVar[int] = 8 << 10

    source_rate: Annotated[
        Rate, msgspec.Meta(description="Samples a second of what clients send.")
    ] = msgspec.field(name="from")
    to: Annotated[Rate, msgspec.Meta(description="Samples a second that come out.")]

    def __post_init__(self) -> None:
        up, down = self._ratio
        if max(up, down) > _MAX_RATIO:
            raise ValueError(
                f"{self.source_rate} to {self.to} is {up}/{down} in lowest terms; expected a "
                f"ratio of numbers up to {_MAX_RATIO}"
            )

    @property
    def _ratio(self) -> tuple[int, int]:
        shared = gcd(self.source_rate, self.to)
        return self.to // shared, self.source_rate // shared

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:
        """The series; its length is free, or the shortest one that gives the model's length."""
        needs_floats(spec, self.kind, 1, batched=batched)
        length = spec.shape[-1]
        if length != -1:
            up, down = self._ratio
            length = length * down // up
            if ceil(length * up / down) != spec.shape[-1]:
                raise Misfit(
                    f"no series has {spec.shape[-1]} samples at {self.to} a second and a whole "
                    f"number at {self.source_rate}"
                )
        return TensorSpec(spec.name, spec.datatype, (*spec.shape[:-1], length))

    def convert(self, given: TensorSpec, spec: TensorSpec, *, batched: bool) -> Change:  # noqa: ARG002
        """As many passes as a phase of the filter has taps, each over all series."""
        up, down = self._ratio
        half = 10 * max(up, down)
        taps = _phases(up, down, half)

        def resample(tensor: Tensor) -> Tensor:
            series = read(tensor, given)
            if up == down:
                return written(series, spec, kind=self.kind)
            length = series.shape[-1]
            count = -(-length * up // down)
            bound(tensor.name, (*series.shape[:-1], max(count, length) + 2 * half))
            steps = np.arange(count) * down
            made = np.zeros((*series.shape[:-1], count))
            # The first sample that each result looks at; before the series there are zeros.
            first = -((half - steps) // up)
            before = half // up + 1
            ends = [(0, 0)] * (series.ndim - 1) + [(before, len(taps) + before)]
            filled = np.pad(series, ends)
            phase = steps % up
            for tap, weights in enumerate(taps):
                made += weights[phase] * filled[..., first + (before + tap)]
            return written(made, spec, kind=self.kind)

        return resample


def _phases(up: int, down: int, half: int) -> Array:
    """The filter by tap and phase, ``[taps, up]``: weights of the samples that a result looks at.

    Result n is the sum over k of ``x[k] * h[half + n * down - k * up]``; n counts by its phase,
    ``n * down % up``, and k from the first one for which the filter is not yet over.
    """
    cutoff = 1 / max(up, down)
    at = np.arange(-half, half + 1)
    filter_ = cutoff * np.sinc(cutoff * at) * np.kaiser(2 * half + 1, _BETA)
    filter_ *= up / filter_.sum()
    phase = np.arange(up)
    first = -((half - phase) // up)
    count = 2 * half // up + 1
    index = half + phase - (first + np.arange(count)[:, None]) * up
    weights: Array = np.where(index >= 0, filter_[np.maximum(index, 0)], 0.0)
    return weights
