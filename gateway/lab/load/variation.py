# SPDX-License-Identifier: Apache-2.0
"""Variation: other inputs that a model takes as readily as the one in the data.

Numbers stay near what they are, whole numbers within what the data holds, texts get a number at
their end, pictures one in a comment. What a type cannot tell apart is not taken for different:
FP32 has about 7 digits, FP16 3.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.wire.tensor import NUMPY

if TYPE_CHECKING:
    from gateway.wire.tensor import Array, Tensor

# A float moves by up to 1 % of itself, or of this where it is 0.
_SMALLEST: Final = 1e-3
# Steps that each type still tells apart, and how many of them are used.
_STEPS: Final = {"FP64": (1e-5, 1000), "FP32": (1e-5, 1000), "FP16": (2e-3, 5), "BF16": (1e-2, 2)}
# A whole number takes at most so many values.
_WHOLE: Final = 256
# Numbers of a row are varied until there are so many inputs, and no more than so many of them.
ENOUGH: Final = 1 << 40
MOST: Final = 16
# A text gets a mark of so many characters, in four blanks of three digits.
MARK_WIDTH: Final = 12
DIGITS: Final = tuple(b"%03d" % number for number in range(1000))
_JPEG: Final = b"\xff\xd8"


def values(datatype: str, value: float, low: int, high: int) -> Array:
    """What may stand in place of *value*, itself first, all different, in the type on the wire.

    *low* and *high* bound whole numbers. One value where there is no choice.
    """
    dtype = NUMPY[datatype]
    if datatype in _STEPS:
        step, number = _STEPS[datatype]
        scale = value if abs(value) >= _SMALLEST else _SMALLEST
        with np.errstate(over="ignore"):
            moved = value + scale * step * np.arange(number)
            if datatype == "BF16":
                cast = (moved.astype("<f4").view("<u4") >> 16).astype("<u2")
            else:
                cast = moved.astype(dtype)
                cast = cast[np.isfinite(cast)]
    else:
        size = min(high - low + 1, _WHOLE)
        cast = ((int(value) - low + np.arange(size, dtype=object)) % (high - low + 1) + low).astype(
            dtype
        )
    _, first = np.unique(cast, return_index=True)
    chosen: Array = cast[np.sort(first)]
    return chosen


def choices(tensor: Tensor, rows: int, bounds: tuple[int, int]) -> list[list[tuple[int, Array]]]:
    """For each of *rows*, places in the flat tensor of numbers and what may stand there.

    As many as it takes for ENOUGH inputs a row; places without a choice are left out. *bounds*
    are those of whole numbers.
    """
    flat = tensor.array().ravel()
    plain = (flat.astype("<u4") << 16).view("<f4") if tensor.datatype == "BF16" else flat
    width = prod(tensor.shape) // rows
    found: list[list[tuple[int, Array]]] = []
    for row in range(rows):
        mine: list[tuple[int, Array]] = []
        inputs = 1
        for place in range(row * width, min((row + 1) * width, row * width + 4 * MOST)):
            if inputs >= ENOUGH or len(mine) >= MOST:
                break
            number = plain[place].item()
            if number != number or number in {float("inf"), float("-inf")}:  # noqa: PLR0124 - nan
                continue
            table = values(tensor.datatype, number, *bounds)
            if len(table) > 1:
                mine.append((place, table))
                inputs *= len(table)
        found.append(mine)
    return found


def mark(number: int) -> bytes:
    """A text that occurs nowhere else, of MARK_WIDTH."""
    return b"@%010d@" % number


def marked(element: bytes, number: int) -> bytes:
    """A text or picture with `mark` *number* in it, where it changes nothing that counts.

    In a JPEG it is a comment; other pictures have it behind their end, where decoders do not look.
    """
    if element.startswith(_JPEG):
        length = (2 + MARK_WIDTH).to_bytes(2, "big")
        return element[:2] + b"\xff\xfe" + length + mark(number) + element[2:]
    return element + b" " + mark(number)
