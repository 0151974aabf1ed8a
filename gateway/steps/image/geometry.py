# SPDX-License-Identifier: Apache-2.0
"""Geometry: sizes and places of resizing and cropping, rounded as training libraries round them.

Sizes are (height, width) in pixels.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Size: TypeAlias = tuple[int, int]


def pair_of(side: int | tuple[int, ...]) -> Size:
    """*side* as (height, width); raises ValueError for anything but one or two numbers."""
    if isinstance(side, int):
        return side, side
    if len(side) != 2:
        raise ValueError(f"expected one number or [height, width], got {list(side)}")
    return side[0], side[1]


class Letterbox(NamedTuple):
    """A picture scaled to *inner* and put at *top*, *left* of a larger one."""

    inner: Size
    top: int
    left: int


def shorter_side(size: Size, target: int) -> Size:
    """The size with a shorter side of *target*; the longer one is truncated, as in torchvision."""
    height, width = size
    if width <= height:
        return max(1, int(target * height / width)), target
    return target, max(1, int(target * width / height))


def letterbox(size: Size, target: Size, *, enlarge: bool) -> Letterbox:
    """Where *size* goes in *target*, with its proportions kept, as in YOLOv5.

    Padding is split evenly; an odd pixel goes below and to the right. Where not *enlarge*, a
    picture that fits already keeps its size.
    """
    ratio = min(target[0] / size[0], target[1] / size[1])
    if not enlarge:
        ratio = min(ratio, 1.0)
    inner = max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))
    # The tenth decides halves: 2.5 rows above become 2, and 3 are left for below.
    top, left = (round((target[i] - inner[i]) / 2 - 0.1) for i in (0, 1))
    return Letterbox(inner, top, left)


def centre_crop(size: Size, target: Size) -> Size:
    """Top and left of the middle of *size*; negative where *target* is larger, and is padded.

    As in torchvision: halves are rounded to even, except that padding puts the odd pixel last.
    """
    top, left = (
        round((have - want) / 2) if have >= want else -((want - have) // 2)
        for have, want in zip(size, target, strict=True)
    )
    return top, left
