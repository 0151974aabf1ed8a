# SPDX-License-Identifier: Apache-2.0
"""Input steps on frequencies: the magnitudes of an FFT, and log-mel spectrograms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

import msgspec
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gateway.errors import InvalidRequest
from gateway.steps.mel import filters
from gateway.steps.numeric import finite
from gateway.steps.series import bound, needs_floats, read, written
from gateway.steps.step import Change, Conversion, Misfit
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Array, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

Size = Annotated[int, msgspec.Meta(ge=2, le=1 << 17)]
Exponent = Annotated[
    Literal["magnitude", "power"],
    msgspec.Meta(description="The absolute value of each bin, or its square."),
]


class FftMagnitude(Conversion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Samples to the size of each frequency, ``|rfft(x * w)|``: [-1, size] to [-1, size/2 + 1]."""

    kind: ClassVar[str] = "fft_magnitude"
    inline_bytes: ClassVar[int] = 128 << 10

    size: Annotated[Size, msgspec.Meta(description="Samples of a series.")]
    taper: Annotated[
        Literal["none", "hann"],
        msgspec.Meta(description="hann: samples are weighted by ``(1 - cos(2 pi i / size)) / 2``."),
    ] = "none"
    of: Exponent = "magnitude"

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:
        """A series of *size* samples."""
        needs_floats(spec, self.kind, 1, batched=batched)
        if spec.shape[-1] not in {-1, self.size // 2 + 1}:
            raise Misfit(
                f"it gives {self.size // 2 + 1} frequencies, but input '{spec.name}' is "
                f"{list(spec.shape)}"
            )
        return TensorSpec(spec.name, spec.datatype, (*spec.shape[:-1], self.size))

    def convert(self, given: TensorSpec, spec: TensorSpec, *, batched: bool) -> Change:  # noqa: ARG002
        """One transform of all series."""
        taper = hann(self.size) if self.taper == "hann" else np.ones(self.size)

        def fft_magnitude(tensor: Tensor) -> Tensor:
            return written(_sizes(read(tensor, given) * taper, self.of), spec, kind=self.kind)

        return fft_magnitude


class LogMel(Conversion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sound to the logarithm of its energy by mel band and time: [-1, n] to [-1, bands, frames].

    A frame is *n_fft* samples under a Hann window, one every *hop*; with *center* the sound is
    mirrored at its ends by half a frame, so that frame i lies around sample ``i * hop``.
    """

    kind: ClassVar[str] = "log_mel"
    inline_bytes: ClassVar[int] = 32 << 10

    sample_rate: Annotated[
        int, msgspec.Meta(ge=1, le=10_000_000, description="Samples a second.")
    ] = 16000
    n_fft: Annotated[Size, msgspec.Meta(description="Samples of a frame.")] = 400
    hop: Annotated[
        int, msgspec.Meta(ge=1, le=1 << 17, description="Samples from one frame to the next.")
    ] = 160
    bands: Annotated[int, msgspec.Meta(ge=1, le=1024, description="Mel bands.")] = 80
    f_min: Annotated[float, msgspec.Meta(ge=0, description="Where the lowest begins, in Hz.")] = 0.0
    f_max: Annotated[
        float,
        msgspec.Meta(ge=0, description="Where the highest ends, in Hz; 0: half the sample rate."),
    ] = 0.0
    scale: Annotated[
        Literal["slaney", "htk"], msgspec.Meta(description="Which of the two mel scales.")
    ] = "slaney"
    norm: Annotated[
        Literal["slaney", "none"],
        msgspec.Meta(description="slaney: bands have equal areas. none: equal heights."),
    ] = "slaney"
    of: Exponent = "power"
    center: Annotated[
        bool, msgspec.Meta(description="Whether the sound is mirrored at its ends first.")
    ] = True
    log: Annotated[
        Literal["ln", "log10", "db", "whisper"],
        msgspec.Meta(
            description="db is 10 log10. whisper is log10 without the last frame, raised to at "
            "least the row's highest less 8, plus 4, by 4."
        ),
    ] = "log10"
    floor: Annotated[
        float, msgspec.Meta(gt=0, description="What a lower energy is raised to first.")
    ] = 1e-10
    layout: Annotated[
        Literal["bands_first", "frames_first"],
        msgspec.Meta(description="bands_first: [bands, frames] a row, else [frames, bands]."),
    ] = "bands_first"

    def __post_init__(self) -> None:
        finite("f_max", self.f_max)
        finite("floor", self.floor)
        if not self.f_min < self._highest <= self.sample_rate / 2:
            raise ValueError(
                f"bands from {self.f_min} to {self._highest} Hz; expected f_min below f_max, and "
                f"that at most half the sample rate, {self.sample_rate / 2}"
            )

    @property
    def _highest(self) -> float:
        return self.f_max or self.sample_rate / 2

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:
        """Sound of any length."""
        needs_floats(spec, self.kind, 2, batched=batched)
        if spec.shape[-2 if self.layout == "bands_first" else -1] not in {-1, self.bands}:
            raise Misfit(
                f"it gives {self.bands} bands ({self.layout}), but input '{spec.name}' is "
                f"{list(spec.shape)}"
            )
        return TensorSpec(spec.name, spec.datatype, (*spec.shape[:-2], -1))

    def convert(self, given: TensorSpec, spec: TensorSpec, *, batched: bool) -> Change:  # noqa: ARG002
        """One transform of all frames, and one product with the filters for each row."""
        taper = hann(self.n_fft)
        gather = filters(
            rate=self.sample_rate,
            size=self.n_fft,
            bands=self.bands,
            lowest=self.f_min,
            highest=self._highest,
            scale=self.scale,
            area=self.norm == "slaney",
        )
        half = self.n_fft // 2 if self.center else 0
        least = half + 1 if self.center else self.n_fft
        logarithm = _LOGARITHMS[self.log]

        def log_mel(tensor: Tensor) -> Tensor:
            sound = read(tensor, given)
            if sound.shape[-1] < least:
                raise InvalidRequest(
                    f"input '{tensor.name}': a series of {sound.shape[-1]} samples is too short "
                    f"for frames of {self.n_fft}; at least {least} are expected"
                )
            if half:
                sound = np.pad(sound, [(0, 0)] * (sound.ndim - 1) + [(half, half)], mode="reflect")
            count = 1 + (sound.shape[-1] - self.n_fft) // self.hop
            bound(tensor.name, (*sound.shape[:-1], count, 2 * self.n_fft))
            frames = sliding_window_view(sound, self.n_fft, axis=-1)[..., :: self.hop, :]
            # The energies of one row are one matrix: others are multiplied apart from it.
            energies = np.maximum(_sizes(frames * taper, self.of) @ gather, self.floor)
            made = logarithm(energies)
            if self.layout == "bands_first":
                made = made.swapaxes(-1, -2)
            return written(made, spec, kind=self.kind)

        return log_mel


def hann(size: int) -> Array:
    """The periodic Hann window of *size* samples."""
    window: Array = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    return window


def _sizes(series: Array, of: str) -> Array:
    bins = np.fft.rfft(series, axis=-1)
    if of == "magnitude":
        sizes: Array = np.abs(bins)
        return sizes
    power: Array = bins.real**2 + bins.imag**2
    return power


def _whisper(energies: Array) -> Array:
    shown = np.log10(energies[..., :-1, :])
    if not shown.size:
        return shown
    loudest = shown.max(axis=(-1, -2), keepdims=True)
    scaled: Array = (np.maximum(shown, loudest - 8.0) + 4.0) / 4.0
    return scaled


_LOGARITHMS: Final[dict[str, Callable[[Array], Array]]] = {
    "ln": np.log,
    "log10": np.log10,
    "db": lambda energies: 10.0 * np.log10(energies),
    "whisper": _whisper,
}
