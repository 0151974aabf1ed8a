# SPDX-License-Identifier: Apache-2.0
"""Header: what a picture says of itself, read from its first bytes before any decoder sees it.

A file of a few bytes can announce a picture of gigabytes, so sizes are judged here. Whatever walks
the file takes a bounded number of turns.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from gateway.wire.tensor import Buffer

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
# The longest start that is needed to tell a format from others.
SIGNATURE: Final = 12
# Pictures have tens of these; a file made of empty ones keeps a reader busy for nothing.
_MAX_SEGMENTS: Final = 1024
_MAX_CHUNKS: Final = 16_384

# Start-of-frame markers: what follows is the size. C4, C8 and CC are other things.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers that stand alone, without a length: TEM and RST0 to RST7.
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})


class Unreadable(Exception):
    """A picture that is not decoded; the message says what is wrong with it."""


class Header(NamedTuple):
    """*kind* is ``jpeg``, ``png`` or ``webp``; *depth* is bits a sample, *channels* 0 if unknown.

    *frames* counts the pictures of an animation, *scans* the passes of a progressive JPEG. *exif*
    is the TIFF structure with the orientation, where it was met on the way.
    """

    kind: str
    width: int
    height: int
    depth: int = 8
    channels: int = 0
    frames: int = 1
    scans: int = 1
    exif: bytes = b""


def kind_of(data: Buffer) -> str:
    """``jpeg``, ``png``, ``webp``, or "" for anything else, by the signature alone."""
    start = bytes(data[:SIGNATURE])
    if start.startswith(_JPEG):
        return "jpeg"
    if start.startswith(_PNG):
        return "png"
    return "webp" if start[:4] == b"RIFF" and start[8:] == b"WEBP" else ""


def read_header(data: bytes, kind: str) -> Header:
    """The header of *data*, which `kind_of` found to be a *kind*; raises Unreadable."""
    try:
        header = _READERS[kind](data)
    except (struct.error, IndexError):
        raise Unreadable(f"the {kind} ends within its header, after {len(data)} bytes") from None
    if not header.width or not header.height:
        raise Unreadable(f"the {kind} says that it is {header.width} x {header.height} pixels")
    return header


def _jpeg(data: bytes) -> Header:
    """Segments are a marker, FF and a code, and a length of two bytes that counts itself."""
    at, exif = 2, b""
    for _ in range(_MAX_SEGMENTS):
        if data[at] != 0xFF:
            raise Unreadable(f"the jpeg has no marker at byte {at}")
        while (code := data[at]) == 0xFF:
            at += 1
        at += 1
        if code in _ALONE:
            continue
        if code in {0xD8, 0xD9, 0xDA}:
            raise Unreadable("the jpeg has no frame header before its data")
        (length,) = struct.unpack_from(">H", data, at)
        if code in _FRAMES:
            depth, height, width, channels = struct.unpack_from(">BHHB", data, at + 2)
            # In coded data an FF is followed by 00, so this marker stands for itself nearly always.
            scans = data.count(b"\xff\xda", at) if code in _PROGRESSIVE else 1
            return Header("jpeg", width, height, depth, channels, scans=scans, exif=exif)
        if code == 0xE1 and not exif and data[at + 2 : at + 8] == b"Exif\0\0":
            exif = data[at + 8 : at + length]
        if length < 2:
            raise Unreadable(f"the jpeg has a segment of {length} bytes at byte {at}")
        at += length
    raise Unreadable(f"the jpeg has more than {_MAX_SEGMENTS} segments before its frame header")


def _png(data: bytes) -> Header:
    """Chunks are a length, a name of four letters, the content and a checksum."""
    if data[12:16] != b"IHDR":
        raise Unreadable("the png does not begin with its header chunk")
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if width >= 1 << 31 or height >= 1 << 31:
        raise Unreadable(f"the png says that it is {width} x {height} pixels")
    frames, exif, at = 1, b"", 8
    for _ in range(_MAX_CHUNKS):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"acTL":
            (frames,) = struct.unpack_from(">I", data, at + 8)
        elif name == b"eXIf":
            exif = data[at + 8 : at + 8 + length]
        elif name == b"IEND":
            channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 0)
            return Header("png", width, height, depth, channels, frames, exif=exif)
        at += 12 + length
        if at >= len(data):
            raise Unreadable(f"the png is cut off: {len(data)} bytes came, at least {at} are said")
    raise Unreadable(f"the png has more than {_MAX_CHUNKS} chunks")


def _webp(data: bytes) -> Header:
    """A RIFF file: chunks are a name, a little-endian length, and content padded to even length."""
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise Unreadable(f"the webp is cut off: {len(data)} bytes came, {size + 8} are said")
    name = data[12:16]
    if name == b"VP8 ":
        if data[23:26] != b"\x9d\x01\x2a":
            raise Unreadable("the webp has no key frame")
        width, height = struct.unpack_from("<HH", data, 26)
        # The upper two bits ask a viewer to enlarge the picture; decoders leave that to it.
        return Header("webp", width & 0x3FFF, height & 0x3FFF, channels=3)
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if name != b"VP8X":
        raise Unreadable("the webp begins with an unknown chunk")
    width = int.from_bytes(data[24:27], "little") + 1
    height = int.from_bytes(data[27:30], "little") + 1
    animated = data[20] & 0x02
    frames, exif, at = 0, b"", 12
    for _ in range(_MAX_CHUNKS):
        if at + 8 > min(len(data), size + 8):
            return Header("webp", width, height, frames=frames if animated else 1, exif=exif)
        name, length = struct.unpack_from("<4sI", data, at)
        if name == b"ANMF":
            frames += 1
        elif name == b"EXIF":
            # Some writers put a JPEG's prefix in front of it.
            exif = data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0")
        at += 8 + length + (length & 1)
    raise Unreadable(f"the webp has more than {_MAX_CHUNKS} chunks")


_READERS: Final = {"jpeg": _jpeg, "png": _png, "webp": _webp}
