# SPDX-License-Identifier: Apache-2.0
"""Mel: the scale of pitch, and filters that gather a spectrum into its bands.

slaney: ``3 f / 200`` below 1 kHz, ``15 + 27 ln(f / 1000) / ln 6.4`` above (Slaney's Auditory
Toolbox, the default of librosa); htk: ``2595 log10(1 + f / 700)`` (the HTK book).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from gateway.wire.tensor import Array

_LINEAR: Final = 3 / 200
_BREAK: Final = 1000.0
_LOG: Final = 27 / np.log(6.4)


def to_mel(frequencies: Array, scale: str) -> Array:
    """*frequencies* in Hz as mel."""
    if scale == "htk":
        htk: Array = 2595.0 * np.log10(1.0 + frequencies / 700.0)
        return htk
    above = _BREAK * _LINEAR + _LOG * np.log(np.maximum(frequencies, _BREAK) / _BREAK)
    slaney: Array = np.where(frequencies < _BREAK, frequencies * _LINEAR, above)
    return slaney


def to_hertz(mels: Array, scale: str) -> Array:
    """*mels* as frequencies in Hz."""
    if scale == "htk":
        htk: Array = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
        return htk
    start = _BREAK * _LINEAR
    above = _BREAK * np.exp((np.maximum(mels, start) - start) / _LOG)
    slaney: Array = np.where(mels < start, mels / _LINEAR, above)
    return slaney


def filters(
    *, rate: int, size: int, bands: int, lowest: float, highest: float, scale: str, area: bool
) -> Array:
    """Weights of ``[size // 2 + 1, bands]``: triangles over the bins of an FFT of *size*.

    Their corners are equally far apart in mel, from *lowest* to *highest* Hz; each begins and ends
    at the peaks of its neighbours. *area* divides each by half of its width in Hz (Slaney's norm).
    """
    ends = to_mel(np.array([lowest, highest]), scale)
    corners = to_hertz(np.linspace(ends[0], ends[1], bands + 2), scale)
    bins = np.fft.rfftfreq(size, 1 / rate)[:, None]
    rising = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    weights: Array = np.maximum(0.0, np.minimum(rising, falling))
    if area:
        weights *= 2.0 / (corners[2:] - corners[:-2])
    return weights
