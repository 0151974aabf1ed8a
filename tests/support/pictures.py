# SPDX-License-Identifier: Apache-2.0
"""Pictures: made up, encoded by Pillow, and files that no encoder would write."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from gateway.wire.tensor import Array, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNATURE = b"\x89PNG\r\n\x1a\n"
IEND = b"\0\0\0\0IEND\xaeB`\x82"


def photo(rng: np.random.Generator, height: int, width: int, channels: int = 3) -> Array:
    """Something with soft shapes and some noise, uint8 [height, width, channels]."""
    shape = (height // 16 + 2, width // 16 + 2, channels)
    coarse = rng.integers(0, 256, shape).astype(np.uint8)
    layers = [
        np.asarray(
            Image.fromarray(coarse[:, :, i]).resize((width, height), Image.Resampling.BICUBIC)
        )
        for i in range(channels)
    ]
    noisy = np.stack(layers, axis=2).astype(np.int64) + rng.integers(-8, 9, (height, width, 1))
    made: Array = np.clip(noisy, 0, 255).astype(np.uint8)
    return made


def image(rng: np.random.Generator, height: int, width: int, mode: str = "RGB") -> Image.Image:
    """The same as a Pillow image of *mode*."""
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}.get(mode)
    if channels is None:
        return Image.fromarray(photo(rng, height, width)).convert(mode)
    pixels = photo(rng, height, width, channels)
    if channels == 1:
        return Image.fromarray(pixels[:, :, 0])
    layers = [Image.fromarray(pixels[:, :, i]) for i in range(channels)]
    return Image.merge(mode, layers)


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """*picture* as a file of *kind*."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def jpeg(rng: np.random.Generator, height: int, width: int, **options: Any) -> bytes:
    """A made-up JPEG."""
    return saved(image(rng, height, width), "JPEG", **options)


def tensor(pictures: Sequence[bytes], name: str = "x") -> Tensor:
    """*pictures* as BYTES, one a row."""
    rows = np.empty(len(pictures), object)
    rows[:] = pictures
    return Tensor.of(name, rows)


def chunk(name: bytes, content: bytes = b"") -> bytes:
    """A chunk of a PNG."""
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def png(width: int, height: int, depth: int, colour: int, samples: bytes, *extra: bytes) -> bytes:
    """A PNG of *samples*, each line of which has a filter byte in front; *extra* stands before."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(samples))
    return SIGNATURE + chunk(b"IHDR", header) + b"".join(extra) + data + IEND


def exif(orientation: int, order: str = "<") -> bytes:
    """The TIFF structure that says *orientation* and nothing else."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return mark + struct.pack(f"{order}IH", 8, 1) + entry + struct.pack(f"{order}I", 0)


def with_exif(data: bytes, tiff: bytes) -> bytes:
    """The JPEG *data* with *tiff* in its first segment."""
    content = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + data[2:]
