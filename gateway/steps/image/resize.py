# SPDX-License-Identifier: Apache-2.0
"""Resize, with the filters of the library that a model was trained with.

There is no one "bilinear": Pillow's filters widen as a picture shrinks, and so average; OpenCV's
look at two or four pixels whatever the scale, but for its area filter. A model that was trained
with one loses accuracy with the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from PIL import Image

from gateway.steps.image.decode import image_of, pixels_of

if TYPE_CHECKING:
    from gateway.steps.image.geometry import Size
    from gateway.wire.tensor import Array

_PIL: Final = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Library(Protocol):
    """How one library resizes, and how it makes grey of colour.

    *grey_itself*: it wants colour for that, and does not take Pillow's grey.
    """

    grey_itself: bool

    def grey(self, picture: Image.Image | Array) -> Array:
        """Colour as grey, uint8 [height, width, 1]."""
        ...

    def resize(self, picture: Image.Image | Array, size: Size) -> Array:
        """*picture* at *size* (height, width), as uint8 [height, width, channels]."""
        ...


class Pillow:
    """``Image.resize`` without a reducing gap, which is its exact way."""

    # Grey is made while decoding, by ``Image.convert``.
    grey_itself = False

    def __init__(self, name: str) -> None:
        self._filter = _PIL[name]

    def __repr__(self) -> str:
        return f"<Pillow {self._filter.name}>"

    def grey(self, picture: Image.Image | Array) -> Array:
        """See Library."""
        return pixels_of(image_of(picture).convert("L"))

    def resize(self, picture: Image.Image | Array, size: Size) -> Array:
        """See Library."""
        if _size(picture) == size:
            return pixels_of(picture)
        image = image_of(picture)
        return pixels_of(image.resize((size[1], size[0]), self._filter))


class OpenCV:
    """``cv2.resize``, each call on one thread: the rows of a batch run side by side already."""

    grey_itself = True

    def __init__(self, name: str) -> None:
        import cv2  # noqa: PLC0415 - the extra is asked for by this library alone

        cv2.setNumThreads(1)
        filters = {
            "nearest": cv2.INTER_NEAREST,
            "nearest_exact": cv2.INTER_NEAREST_EXACT,
            "bilinear": cv2.INTER_LINEAR,
            "bilinear_exact": cv2.INTER_LINEAR_EXACT,
            "bicubic": cv2.INTER_CUBIC,
            "area": cv2.INTER_AREA,
            "lanczos": cv2.INTER_LANCZOS4,
        }
        self._name, self._filter = name, filters[name]
        self._cv2: Any = cv2

    def __repr__(self) -> str:
        return f"<OpenCV {self._name}>"

    def grey(self, picture: Image.Image | Array) -> Array:
        """See Library."""
        grey: Array = self._cv2.cvtColor(pixels_of(picture), self._cv2.COLOR_RGB2GRAY)
        return grey[:, :, None]

    def resize(self, picture: Image.Image | Array, size: Size) -> Array:
        """See Library."""
        pixels = np.ascontiguousarray(pixels_of(picture))
        if pixels.shape[:2] == size:
            return pixels
        resized: Array = self._cv2.resize(pixels, (size[1], size[0]), interpolation=self._filter)
        return resized if resized.ndim == 3 else resized[:, :, None]


def _size(picture: Image.Image | Array) -> Size:
    if isinstance(picture, Image.Image):
        return picture.height, picture.width
    return picture.shape[0], picture.shape[1]
