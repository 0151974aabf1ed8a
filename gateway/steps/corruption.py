# SPDX-License-Identifier: Apache-2.0
"""Corruptions: pictures as bad cameras and networks make them, at five severities.

After Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (2019): noise, brightness and JPEG have the constants of their ImageNet-C, blur
those of CIFAR-10-C, which grow with the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Final, TypeAlias

import numpy as np

from gateway.wire.tensor import Array

# Of *pictures* [n, height, width, channels], values 0 to 1, for a severity from 1 and a seed.
Corruption: TypeAlias = Callable[[Array, int, int], Array]

SEVERITIES: Final = (1, 2, 3, 4, 5)
_NOISE: Final = (0.08, 0.12, 0.18, 0.26, 0.38)
_BLUR: Final = (0.4, 0.6, 0.7, 0.8, 1.0)
_BLUR_SIDE: Final = 32
_BRIGHTNESS: Final = (0.1, 0.2, 0.3, 0.4, 0.5)
_QUALITY: Final = (25, 18, 15, 10, 7)
# Standard deviations after which a Gaussian is cut off, as scipy has it.
_CUT: Final = 4.0


class MissingLibrary(Exception):
    """A corruption needs a library that is not installed; the message names its extra."""


def noise(pictures: Array, severity: int, seed: int) -> Array:
    """Normal noise on every value."""
    source = np.random.default_rng([seed, severity])
    noisy = pictures + source.normal(0, _NOISE[severity - 1], pictures.shape)
    return np.clip(noisy, 0, 1)


def blur(pictures: Array, severity: int, seed: int) -> Array:  # noqa: ARG001 - a Corruption
    """A Gaussian blur, the pixel at the edge repeated beyond it."""
    side = min(pictures.shape[1:3])
    sigma = _BLUR[severity - 1] * max(1.0, side / _BLUR_SIDE)
    radius = int(_CUT * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    blurred = pictures
    for axis in (1, 2):
        room = [(0, 0)] * pictures.ndim
        room[axis] = (radius, radius)
        wide = np.pad(blurred, room, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(wide, len(weights), axis=axis)
        blurred = windows @ weights
    return blurred


def brightness(pictures: Array, severity: int, seed: int) -> Array:  # noqa: ARG001 - a Corruption
    """Lighter by so much; what is white stays white."""
    return np.clip(pictures + _BRIGHTNESS[severity - 1], 0, 1)


def jpeg(pictures: Array, severity: int, seed: int) -> Array:  # noqa: ARG001 - a Corruption
    """Written as a JPEG of low quality and read again; raises MissingLibrary without Pillow."""
    try:
        from PIL import Image  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingLibrary("JPEG needs Pillow: install infergate[image]") from None
    channels = pictures.shape[-1]
    if channels not in {1, 3}:
        raise ValueError(f"JPEG has 1 or 3 channels, and these pictures have {channels}")
    read = []
    for picture in np.rint(pictures * 255).astype(np.uint8):
        file = BytesIO()
        plain = picture[..., 0] if channels == 1 else picture
        Image.fromarray(plain).save(file, "JPEG", quality=_QUALITY[severity - 1])
        again = np.asarray(Image.open(file), np.float64) / 255
        read.append(again.reshape(picture.shape))
    return np.stack(read) if read else pictures


CORRUPTIONS: Final[dict[str, Corruption]] = {
    "noise": noise,
    "blur": blur,
    "brightness": brightness,
    "jpeg": jpeg,
}
