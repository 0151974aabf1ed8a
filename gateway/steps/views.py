# SPDX-License-Identifier: Apache-2.0
"""Views: the same picture seen in other ways, for test-time augmentation.

A view says how it sees; `Views` makes those of the rows of a request, one after the other view.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import msgspec
import numpy as np

from gateway.steps.sampling import Affine, like

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.wire.tensor import Array

_STILL: Final = ((1.0, 0.0), (0.0, 1.0))


class Warp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A view that moves pixels."""

    kind: ClassVar[str]

    def affine(self, height: int, width: int) -> Affine:
        """Where the pixels of the view come from in a picture of that size; raises ValueError."""
        raise NotImplementedError


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The row as it is."""

    kind: ClassVar[str] = "identity"


class Flip(Warp, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mirrored."""

    kind: ClassVar[str] = "flip"

    axis: Annotated[
        Literal["horizontal", "vertical", "both"],
        msgspec.Meta(description="Left and right change places, or top and bottom, or both."),
    ] = "horizontal"

    def affine(self, height: int, width: int) -> Affine:  # noqa: ARG002 - of any size
        """Signs alone."""
        down = -1.0 if self.axis != "horizontal" else 1.0
        across = -1.0 if self.axis != "vertical" else 1.0
        return Affine(((down, 0.0), (0.0, across)))


class Shift(Warp, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Moved by so many pixels."""

    kind: ClassVar[str] = "shift"

    x: Annotated[
        float, msgspec.Meta(ge=-4096, le=4096, description="Pixels to the right; 0 by default.")
    ] = 0.0
    y: Annotated[
        float, msgspec.Meta(ge=-4096, le=4096, description="Pixels down; 0 by default.")
    ] = 0.0

    def affine(self, height: int, width: int) -> Affine:  # noqa: ARG002 - of any size
        """What was left of a pixel stands there now."""
        return Affine(_STILL, (-self.y, -self.x))


class Crop(Warp, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the picture, enlarged to its size."""

    kind: ClassVar[str] = "crop"

    size: Annotated[
        float, msgspec.Meta(gt=0, le=1, description="The part's share of height and of width.")
    ]
    position: Annotated[
        Literal["centre", "top_left", "top_right", "bottom_left", "bottom_right"],
        msgspec.Meta(description="Which part."),
    ] = "centre"

    def affine(self, height: int, width: int) -> Affine:
        """Smaller steps around the centre of the part."""
        room = ((1 - self.size) * height / 2, (1 - self.size) * width / 2)
        down, across = {
            "centre": (0, 0),
            "top_left": (-1, -1),
            "top_right": (-1, 1),
            "bottom_left": (1, -1),
            "bottom_right": (1, 1),
        }[self.position]
        return Affine(((self.size, 0.0), (0.0, self.size)), (down * room[0], across * room[1]))


class Zoom(Warp, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Enlarged or made smaller around the centre."""

    kind: ClassVar[str] = "scale"

    factor: Annotated[
        float, msgspec.Meta(ge=0.1, le=10, description="Above 1 is larger, below 1 smaller.")
    ]

    def affine(self, height: int, width: int) -> Affine:  # noqa: ARG002 - of any size
        """Smaller steps show things larger."""
        return Affine(((1 / self.factor, 0.0), (0.0, 1 / self.factor)))


class Rotate(Warp, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Turned around the centre; a multiple of 90 degrees moves whole pixels."""

    kind: ClassVar[str] = "rotate"

    degrees: Annotated[
        float, msgspec.Meta(ge=-360, le=360, description="Counter-clockwise, in degrees.")
    ]

    def affine(self, height: int, width: int) -> Affine:
        """The way back; a quarter turn of a picture that is no square has no such size."""
        if height != width and self.degrees % 180 == 90:
            raise ValueError(f"a quarter turn needs a square, not {height} x {width} pixels")
        angle = math.radians(self.degrees)
        cosine, sine = math.cos(angle), math.sin(angle)
        # Rows grow downwards, so that this turns against the clock as it is seen.
        return Affine(((cosine, sine), (-sine, cosine)))


class Noise(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With normal noise added, the same for the same row whenever and with whomever it comes."""

    kind: ClassVar[str] = "noise"

    std: Annotated[
        float,
        msgspec.Meta(gt=0, description="Standard deviation, in the units of the model's input."),
    ]
    seed: Annotated[
        Literal["content", "request"],
        msgspec.Meta(
            description="What decides the noise: the row itself, so that equal questions have "
            "equal answers; or the client's id of the request and the number of the row in it, "
            "which needs a model without a cache."
        ),
    ] = "content"

    def __post_init__(self) -> None:
        if not math.isfinite(self.std):
            raise ValueError("std must be a finite number")

    def add(self, rows: Array, *, place: int, request: str, numbers: Sequence[int]) -> Array:
        """*rows* [n, ...] with noise; *place* tells the views of a row apart.

        *request* and *numbers* are the id and the places in the request, where noise goes by them;
        without an id it goes by the row.
        """
        noisy = np.empty_like(rows)
        from_request = self.seed == "request" and request
        for at, row in enumerate(rows):
            told = f"{request}\0{numbers[at]}".encode() if from_request else row.tobytes()
            key = blake2b(told, digest_size=16, person=b"view %d" % place).digest()
            source = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
            noise = source.standard_normal(row.shape, np.float32) * np.float32(self.std)
            noisy[at] = like(row + noise, rows.dtype)
        return noisy


VIEWS: Final[dict[str, type[Any]]] = {
    view.kind: view for view in (Identity, Flip, Shift, Crop, Zoom, Rotate, Noise)
}
