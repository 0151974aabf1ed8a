# SPDX-License-Identifier: Apache-2.0
"""EXIF: which way up a picture is, and nothing else of what a camera writes.

The structure is that of TIFF 6.0: a byte order, then a directory of tags of twelve bytes each.
"""

from __future__ import annotations

import struct
from typing import Final

UPRIGHT: Final = 1
_ORIENTATION: Final = 0x0112
_SHORT: Final = 3


def orientation(exif: bytes) -> int:
    """The orientation, 1 to 8; `UPRIGHT` where *exif* has none or is not what it should be.

    A picture whose notes are damaged is still a picture, so nothing is raised.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return UPRIGHT
    try:
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        # The directory is sorted and the tag is a low one; a long one has been made up.
        for number in range(min(count, 256)):
            tag, kind, values, value = struct.unpack_from(
                f"{order}HHIH", exif, at + 2 + 12 * number
            )
            if tag == _ORIENTATION:
                return value if kind == _SHORT and values == 1 and 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass
    return UPRIGHT
