# SPDX-License-Identifier: Apache-2.0
"""Pictures: the files of a directory as inputs, whole for a model of BYTES, otherwise as pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.lab import LabError
from gateway.wire.tensor import NUMPY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.wire.model import TensorSpec
    from gateway.wire.tensor import Array

_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_CHANNELS: Final = frozenset({1, 3})
# So many are read at most.
_MOST: Final = 256


def is_picture(path: str) -> bool:
    """Whether a file is one, by its name."""
    return Path(path).suffix.lower() in _SUFFIXES


def pictures(path: str, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The pictures at *path*, a directory or one file, for a model with one input.

    A model of BYTES gets the files. Another gets RGB or grey pixels of the size it takes, in the
    order of its dimensions, whole numbers from 0 to 255 or floats from 0 to 1: how long a model
    takes rarely depends on more. Raises LabError.
    """
    found = sorted(Path(path).iterdir()) if Path(path).is_dir() else [Path(path)]
    files = [file for file in found if is_picture(file.name)][:_MOST]
    if not files:
        raise LabError(f"{path}: no picture in it ({', '.join(sorted(_SUFFIXES))})")
    if len(specs) != 1:
        raise LabError(f"{path}: the model has {len(specs)} inputs; pictures fit one")
    (spec,) = specs
    if spec.datatype == "BYTES":
        contents = np.empty(len(files), dtype=object)
        contents[:] = [_content(file) for file in files]
        shape = (len(files), 1) if len(spec.shape) == 2 else (len(files),)
        return {spec.name: contents.reshape(shape)}
    return {spec.name: np.stack([_pixels(file, spec) for file in files])}


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise LabError(f"{file}: {error.strerror}") from None


def _pixels(file: Path, spec: TensorSpec) -> Array:
    try:
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - an extra
    except ImportError:
        raise LabError(
            f"{file}: decoding pictures needs Pillow: pip install 'infergate[image]'"
        ) from None
    row = spec.shape[-3:]
    if len(row) != 3 or not {row[0], row[-1]} & _CHANNELS:
        raise LabError(
            f"{file}: the model takes {list(spec.shape)}, which is no picture: expected "
            "[rows, channels, height, width] or [rows, height, width, channels]"
        )
    first = row[0] in _CHANNELS
    channels, height, width = row if first else (row[2], row[0], row[1])
    try:
        with Image.open(file) as image:
            size = (width if width > 0 else image.width, height if height > 0 else image.height)
            pixels = np.asarray(image.convert("RGB" if channels == 3 else "L").resize(size))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise LabError(f"{file}: cannot be read as a picture: {error}") from None
    pixels = pixels.reshape(pixels.shape[0], pixels.shape[1], channels)
    if first:
        pixels = pixels.transpose(2, 0, 1)
    dtype = NUMPY[spec.datatype]
    return pixels.astype(dtype) if dtype.kind in "iu" else (pixels / 255).astype("<f4")
