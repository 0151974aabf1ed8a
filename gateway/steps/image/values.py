# SPDX-License-Identifier: Apache-2.0
"""Values: from pixels of 0 to 255 to the numbers that a model takes.

A sample has 256 values only, so whatever arithmetic the training used is done once for each of
them, in its own order and precision, and a picture is looked up: as exact as that, and quicker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from gateway.wire.tensor import NUMPY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.wire.tensor import Array


class Preset(NamedTuple):
    """``(x / 255 - mean) / std``, red, green, blue; without numbers every channel is alike."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


PRESETS: Final[dict[str, Preset]] = {
    # torchvision, timm and most of what was trained on ImageNet.
    "imagenet": Preset((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # -1 to 1: Inception, ViT, and TensorFlow's MobileNet.
    "inception": Preset((0.5,), (0.5,)),
    # OpenAI's CLIP and what builds on it.
    "clip": Preset((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    # 0 to 1.
    "unit": Preset((), ()),
}


def preset_table(preset: Preset, channels: int, datatype: str, *, reverse: bool) -> Array:
    """Values by channel and sample, [channels, 256], of *preset*; *reverse* for blue first.

    In float32 as torchvision's ``ToTensor`` and ``Normalize``: a division, a subtraction, a
    division.
    """
    dtype = np.dtype(np.float64 if datatype == "FP64" else np.float32)
    values = np.arange(256, dtype=dtype) / dtype.type(255)
    table = np.broadcast_to(values, (channels, 256)).copy()
    if preset.mean:
        table -= _column(preset.mean, channels, dtype)
        table /= _column(preset.std, channels, dtype)
    if reverse:
        table = table[::-1]
    return np.ascontiguousarray(table, NUMPY[datatype])


def custom_table(
    channels: int,
    datatype: str,
    *,
    scale: float,
    mean: Sequence[float],
    std: Sequence[float],
) -> Array:
    """The same of ``(x * scale - mean) / std``, *mean* and *std* in the order of the output."""
    dtype = np.dtype(np.float64 if datatype == "FP64" else np.float32)
    values = np.arange(256, dtype=dtype) * dtype.type(scale)
    table = np.broadcast_to(values, (channels, 256)).copy()
    table -= _column(mean, channels, dtype)
    table /= _column(std, channels, dtype)
    return np.ascontiguousarray(table, NUMPY[datatype])


def look_up(table: Array | None, pixels: Array, out: Array, *, reverse: bool, first: bool) -> None:
    """Fill *out* with the values of *pixels*, uint8 [height, width, channels].

    *out* is [channels, height, width] where *first*, else [height, width, channels]; *reverse*
    turns the channels round. Without *table* samples stay as they are.
    """
    last = pixels.shape[2] - 1
    for channel in range(last + 1):
        plane = pixels[:, :, last - channel if reverse else channel]
        target = out[channel] if first else out[:, :, channel]
        if table is None:
            target[...] = plane
        elif first:
            # No index can be out of range; the mode spares a check and a copy.
            np.take(table[channel], plane, out=target, mode="clip")
        else:
            target[...] = np.take(table[channel], plane, mode="clip")


def _column(values: Sequence[float], channels: int, dtype: np.dtype[Any]) -> Array:
    return np.broadcast_to(np.array(values, dtype)[:, None], (channels, 1))
