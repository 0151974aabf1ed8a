# SPDX-License-Identifier: Apache-2.0
"""Decode: from the bytes of a JPEG, PNG or WebP to upright pixels of eight bits, grey or colour.

The formats are told by their signature, never by what a client says of them, and only the decoder
of that one format is asked.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from gateway.steps.image.exif import UPRIGHT, orientation
from gateway.steps.image.header import Header, Unreadable, kind_of, read_header

if TYPE_CHECKING:
    from gateway.steps.image.geometry import Size
    from gateway.wire.tensor import Array

# Sizes are judged here, by limits of the configuration, before Pillow sees a picture.
Image.MAX_IMAGE_PIXELS = None
# It warns of damaged notes, with numbers that come from the client: a line in the log, and an entry
# in a registry, for each picture that somebody makes up.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")

# What Pillow raises for damaged pictures; which of them depends on the byte that is wrong.
_BROKEN: Final = (
    OSError, SyntaxError, ValueError, EOFError, OverflowError, IndexError, KeyError, TypeError,
    struct.error, zlib.error,
)  # fmt: skip

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Rules(NamedTuple):
    """What is decoded and how; *ground* is the colour that transparency is laid on.

    *ground* of None drops transparency. *sixteen_bit* is ``high_byte``, ``clip`` or ``refuse``.
    """

    kinds: frozenset[str]
    grey: bool
    turn: bool
    ground: tuple[int, int, int] | None
    sixteen_bit: str
    max_pixels: int
    max_side: int
    max_bytes: int
    max_frames: int
    max_scans: int


def decode(data: bytes, rules: Rules, *, at_least: Size | None = None) -> Image.Image | Array:
    """The picture in *data*: an RGB or L image, or the same as uint8 [height, width, channels].

    *at_least* lets a JPEG be decoded at a half, a quarter or an eighth of its size, as long as that
    is no less than this. Raises Unreadable.
    """
    header = check(data, rules)
    turn = UPRIGHT
    if header.kind == "jpeg":
        turn = orientation(header.exif) if rules.turn else UPRIGHT
        if at_least is not None and turn >= 5:
            at_least = at_least[::-1]
        if header.channels in {1, 3} and at_least is None:
            pixels = _fast_jpeg(data, header, rules)
            if pixels is not None:
                if turn == UPRIGHT and not (rules.grey and header.channels == 3):
                    return pixels
                return _finish(image_of(pixels), rules, turn)
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=(header.kind.upper(),))
        if image.size != (header.width, header.height):
            raise Unreadable(
                f"the {header.kind} says that it is {header.width} x {header.height} pixels, "
                f"and also {image.width} x {image.height}"
            )
        if at_least is not None:
            image.draft(None, at_least[::-1])
        image.load()
        if header.kind != "jpeg" and rules.turn:
            turn = orientation(header.exif)
        return _finish(image, rules, turn)
    except _BROKEN as error:
        raise Unreadable(f"the {header.kind} is damaged: {_reason(error)}") from None


def check(data: bytes, rules: Rules) -> Header:
    """The header of *data*, found to be within *rules*; raises Unreadable."""
    expected = ", ".join(sorted(rules.kinds))
    if len(data) > rules.max_bytes:
        raise Unreadable(f"it has {len(data)} bytes; limits.bytes is {rules.max_bytes}")
    kind = kind_of(data)
    if not kind:
        raise Unreadable(f"it is no picture of a known format; expected {expected}")
    if kind not in rules.kinds:
        raise Unreadable(f"it is a {kind}; expected {expected}")
    header = read_header(data, kind)
    width, height = header.width, header.height
    if max(width, height) > rules.max_side:
        raise Unreadable(f"it is {width} x {height} pixels; limits.side is {rules.max_side}")
    if width * height > rules.max_pixels:
        raise Unreadable(
            f"it is {width} x {height} = {width * height} pixels; "
            f"limits.pixels is {rules.max_pixels}"
        )
    if header.frames > rules.max_frames:
        raise Unreadable(
            f"it is an animation of {header.frames} frames; limits.frames is {rules.max_frames}"
        )
    if header.scans > rules.max_scans:
        raise Unreadable(
            f"it is a progressive jpeg of {header.scans} scans; limits.scans is {rules.max_scans}"
        )
    if header.depth == 16 and rules.sixteen_bit == "refuse":
        raise Unreadable("it has 16 bits a sample; expected 8")
    return header


def pixels_of(picture: Image.Image | Array) -> Array:
    """*picture* as uint8 [height, width, channels]."""
    if isinstance(picture, np.ndarray):
        return picture
    pixels = np.asarray(picture)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def image_of(picture: Image.Image | Array) -> Image.Image:
    """*picture* as a Pillow image of mode RGB or L."""
    if isinstance(picture, Image.Image):
        return picture
    return Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture)


def _fast_jpeg(data: bytes, header: Header, rules: Rules) -> Array | None:
    """What libjpeg-turbo makes of a grey or YCbCr JPEG; None where Pillow is to judge it.

    The accurate DCT and the smooth upsampling, which are Pillow's and OpenCV's too.
    """
    grey = rules.grey and header.channels == 1
    try:
        pixels = simplejpeg.decode_jpeg(data, "GRAY" if grey else "RGB")
    except ValueError:
        # It takes nothing that is out of order in the least; cameras write such files.
        return None
    return pixels if pixels.shape[:2] == (header.height, header.width) else None


def _finish(image: Image.Image, rules: Rules, turn: int) -> Image.Image:
    image = _opaque(_eight_bits(image, rules), rules)
    mode = "L" if rules.grey else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    if turn != UPRIGHT:
        image = image.transpose(_TURNS[turn])
    return image


def _eight_bits(image: Image.Image, rules: Rules) -> Image.Image:
    """A grey picture of 16 bits with 8; colour has lost its lower byte in Pillow already."""
    if not image.mode.startswith("I"):
        return image
    samples = np.asarray(image)
    if rules.sixteen_bit == "clip":
        small = np.minimum(samples, 255).astype(np.uint8)
    else:
        small = (samples >> 8).astype(np.uint8)
    grey = Image.fromarray(small)
    key = image.info.get("transparency")
    if isinstance(key, int) and rules.ground is not None:
        alpha = np.where(samples == key, 0, 255).astype(np.uint8)
        grey = Image.merge("LA", (grey, Image.fromarray(alpha)))
    return grey


def _opaque(image: Image.Image, rules: Rules) -> Image.Image:
    """*image* without transparency: laid on the ground colour, or left out."""
    if image.mode not in {"RGBA", "LA", "PA"} and "transparency" not in image.info:
        return image
    # A conversion to the same mode would be a copy.
    clear = image if image.mode == "RGBA" else image.convert("RGBA")
    if rules.ground is None:
        return clear.convert("RGB")
    ground = Image.new("RGB", image.size, rules.ground)
    ground.paste(clear, mask=clear.getchannel("A"))
    return ground


def _reason(error: BaseException) -> str:
    """The library's words, without what it says of objects of its own."""
    text = " ".join(str(error).split())
    return "it cannot be read" if not text or "<" in text else text[:120]
