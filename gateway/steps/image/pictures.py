# SPDX-License-Identifier: Apache-2.0
"""Pictures: a BYTES tensor with one encoded picture a row becomes the tensor that a model takes."""

from __future__ import annotations

import binascii
from time import perf_counter
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.errors import InvalidRequest
from gateway.steps.image import geometry
from gateway.steps.image.decode import Rules, decode, pixels_of
from gateway.steps.image.header import Unreadable, kind_of
from gateway.steps.image.resize import Library, OpenCV, Pillow
from gateway.steps.image.rows import for_each_row
from gateway.steps.image.values import PRESETS, custom_table, look_up, preset_table
from gateway.wire.tensor import NUMPY, Tensor, element_ends

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image as PILImage

    from gateway.steps.image.geometry import Size
    from gateway.steps.image.step import Image
    from gateway.wire.tensor import Array

_GROUNDS: Final = {"drop": None, "white": (255, 255, 255), "black": (0, 0, 0)}
# What stands before the base64 of a data URL (RFC 2397).
_DATA_URL: Final = b"data:image/"


class Pictures:
    """One call for one tensor of pictures; *row* is the shape that each becomes.

    The result has as many rows as came in, or the one picture without a dimension for rows where
    not *stacked*. *clock* gives seconds.
    """

    def __init__(
        self,
        step: Image,
        *,
        datatype: str,
        row: tuple[int, ...],
        stacked: bool,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._limits = step.limits
        self._datatype = datatype
        self._row = row
        self._stacked = stacked
        self._clock = clock
        self._first = step.layout == "nchw"
        self._reverse = step.color == "bgr"
        self._size: Size = row[1:] if self._first else row[:2]  # type: ignore[assignment]
        self._resize = step.resize
        self._crop = step.crop is not None
        name = step.resize.filter if step.resize is not None else "nearest"
        self._library: Library = OpenCV(name) if step.library == "opencv" else Pillow(name)
        grey = step.color == "gray"
        self._grey = grey and self._library.grey_itself
        self._draft = step.jpeg_scaling
        self._table = _table(step, datatype)
        self._rules = Rules(
            kinds=frozenset(step.formats),
            grey=grey and not self._library.grey_itself,
            turn=step.orientation == "exif",
            ground=_GROUNDS[step.alpha] if isinstance(step.alpha, str) else _triple(step.alpha),
            sixteen_bit=step.sixteen_bit,
            max_pixels=step.limits.pixels,
            max_side=step.limits.side,
            max_bytes=step.limits.bytes,
            max_frames=step.limits.frames,
            max_scans=step.limits.scans,
        )

    def __repr__(self) -> str:
        return f"<Pictures {self._library!r} {self._datatype}{list(self._row)}>"

    def __call__(self, tensor: Tensor) -> Tensor:
        """The pictures of *tensor*, BYTES [rows]; raises InvalidRequest, which names the row."""
        name, rows, limits = tensor.name, tensor.rows, self._limits
        if len(tensor.shape) != 1 or (not self._stacked and rows != 1):
            expected = "[rows]" if self._stacked else "[1]"
            raise InvalidRequest(
                f"input '{name}': shape {list(tensor.shape)} given, {expected} expected"
            )
        if rows > limits.rows:
            raise InvalidRequest(
                f"input '{name}': {rows} pictures given; limits.rows is {limits.rows}"
            )
        data = memoryview(tensor.data)
        ends = element_ends(data, name)
        if len(ends) != rows:
            raise InvalidRequest(f"input '{name}': {rows} elements expected, {len(ends)} found")
        starts = [0, *ends]
        out = np.empty((rows, *self._row), NUMPY[self._datatype])
        until = self._clock() + limits.time

        def act(row: int) -> None:
            if self._clock() > until:
                raise InvalidRequest(
                    f"input '{name}' row {row}: not begun after {limits.time:g} s; limits.time is "
                    "how long the pictures of a request may take"
                )
            try:
                self._fill(bytes(data[starts[row] + 4 : ends[row]]), out[row])
            except Unreadable as error:
                raise InvalidRequest(f"input '{name}' row {row}: {error}") from None

        for_each_row(rows, act)
        shape = out.shape if self._stacked else out.shape[1:]
        # A zero-size array cannot be cast to a flat view.
        flat = out.data.cast("B") if out.size else b""
        return Tensor(name, self._datatype, shape, flat)

    def _fill(self, data: bytes, out: Array) -> None:
        """One encoded picture as the numbers of one row; raises Unreadable."""
        data = encoded(data, self._limits.bytes)
        at_least = None
        resize = self._resize
        if self._draft and resize is not None:
            short = resize.shorter or 0
            at_least = resize.fixed or (short, short)
        picture = decode(data, self._rules, at_least=at_least)
        pixels = self._sized(self._library.grey(picture) if self._grey else picture)
        look_up(self._table, pixels, out, reverse=self._reverse, first=self._first)

    def _sized(self, picture: PILImage.Image | Array) -> Array:
        """*picture* resized and cropped, uint8 [height, width, channels]."""
        size = _size_of(picture)
        resize = self._resize
        if resize is None:
            if not self._crop and size != self._size:
                raise Unreadable(
                    f"it is {size[1]} x {size[0]} pixels; expected {self._size[1]} x "
                    f"{self._size[0]}, as nothing resizes it"
                )
            pixels = pixels_of(picture)
        elif resize.shorter is not None:
            target = geometry.shorter_side(size, resize.shorter)
            if max(target) > self._rules.max_side:
                raise Unreadable(
                    f"it is {size[1]} x {size[0]} pixels, and would be {target[1]} x {target[0]}; "
                    f"limits.side is {self._rules.max_side}"
                )
            pixels = self._library.resize(picture, target)
        elif resize.exact is not None:
            pixels = self._library.resize(picture, geometry.pair_of(resize.exact))
        else:
            pixels = self._letterboxed(picture, size)
        return _cropped(pixels, self._size) if self._crop else pixels

    def _letterboxed(self, picture: PILImage.Image | Array, size: Size) -> Array:
        assert self._resize is not None  # noqa: S101 - asked by the caller
        assert self._resize.letterbox is not None  # noqa: S101 - the only way that is left
        target = geometry.pair_of(self._resize.letterbox)
        place = geometry.letterbox(size, target, enlarge=self._resize.enlarge)
        inner = self._library.resize(picture, place.inner)
        pixels = np.empty((*target, inner.shape[2]), np.uint8)
        pixels[...] = np.array(self._resize.pad, np.uint8)
        height, width = place.inner
        pixels[place.top : place.top + height, place.left : place.left + width] = inner
        return pixels


def encoded(data: bytes, limit: int) -> bytes:
    """*data*, or what it stands for: base64 of a picture, alone or as a data URL.

    That is how a picture travels as JSON text. No picture's signature is base64 and none begins as
    base64 does, so the two cannot be mistaken for one another. Raises Unreadable.
    """
    if kind_of(data) or len(data) > limit * 2:
        return data
    text = data
    if text.startswith(_DATA_URL):
        head, _, text = text.partition(b",")
        if not head.endswith(b";base64"):
            raise Unreadable("it is a data URL, but not one of base64")
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else data
    except binascii.Error:
        return data


def _table(step: Image, datatype: str) -> Array | None:
    """The values of samples by channel; None where they stay as they are."""
    if step.normalize == "none" and datatype == "UINT8":
        return None
    preset = PRESETS.get(step.normalize)
    if preset is not None:
        return preset_table(preset, step.channels, datatype, reverse=step.color == "bgr")
    return custom_table(step.channels, datatype, scale=step.scale, mean=step.mean, std=step.std)


def _cropped(pixels: Array, size: Size) -> Array:
    """The middle of *pixels*; what is missing of *size* is 0."""
    top, left = geometry.centre_crop((pixels.shape[0], pixels.shape[1]), size)
    height, width = max(size[0], pixels.shape[0]), max(size[1], pixels.shape[1])
    if (height, width) != pixels.shape[:2]:
        padded = np.zeros((height, width, pixels.shape[2]), np.uint8)
        down, right = max(-top, 0), max(-left, 0)
        padded[down : down + pixels.shape[0], right : right + pixels.shape[1]] = pixels
        pixels, top, left = padded, max(top, 0), max(left, 0)
    return pixels[top : top + size[0], left : left + size[1]]


def _size_of(picture: PILImage.Image | Array) -> Size:
    if isinstance(picture, np.ndarray):
        return picture.shape[0], picture.shape[1]
    return picture.height, picture.width


def _triple(colour: tuple[int, ...]) -> tuple[int, int, int]:
    red, green, blue = colour
    return red, green, blue
