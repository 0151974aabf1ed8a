# SPDX-License-Identifier: Apache-2.0
"""The sections below ``image``: how pictures are resized, and what is taken of them at all."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from gateway.steps.image.geometry import Size as Geometry
from gateway.steps.image.geometry import pair_of
from gateway.units import Duration, Size

# What each library calls its filters.
FILTERS: Final[dict[str, tuple[str, ...]]] = {
    "pil": ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"),
    "opencv": (
        "nearest", "nearest_exact", "bilinear", "bilinear_exact", "bicubic", "area", "lanczos",
    ),
}  # fmt: skip

_Filter: TypeAlias = Literal[
    "nearest", "nearest_exact", "box", "bilinear", "bilinear_exact", "hamming", "bicubic",
    "area", "lanczos",
]  # fmt: skip
# What JPEG can say of itself.
_MAX_SIDE: Final = 65535
Side: TypeAlias = int | tuple[int, ...]
Colour: TypeAlias = tuple[Annotated[int, Meta(ge=0, le=255)], ...]


def checked(name: str, side: Side) -> Geometry:
    """*side* as (height, width); raises ValueError, which begins with *name*."""
    try:
        size = pair_of(side)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if not all(1 <= each <= _MAX_SIDE for each in size):
        raise ValueError(f"{name}: expected 1 to {_MAX_SIDE} pixels, got {list(size)}")
    return size


class Resize(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The size that a picture is brought to, in exactly one of three ways, and the filter."""

    shorter: Annotated[
        Annotated[int, Meta(ge=1, le=_MAX_SIDE)] | None,
        Meta(description="The shorter side in pixels, proportions kept; 'crop' cuts the rest."),
    ] = None
    exact: Annotated[
        Side | None,
        Meta(description="Both sides, one number or [height, width]; proportions are not kept."),
    ] = None
    letterbox: Annotated[
        Side | None,
        Meta(
            description="Both sides, one number or [height, width]; proportions are kept and the "
            "rest is filled with 'pad'."
        ),
    ] = None
    filter: Annotated[
        _Filter,
        Meta(
            description="How pixels are combined, as 'library' does it. pil: nearest, box, "
            "bilinear, hamming, bicubic, lanczos. opencv: nearest, nearest_exact, bilinear, "
            "bilinear_exact, bicubic, area, lanczos. "
            "Danger: another one than in training costs accuracy without a word."
        ),
    ] = "bilinear"
    pad: Annotated[
        Colour,
        Meta(description="The colour around a letterbox: red, green, blue, or one grey."),
    ] = (114,)
    enlarge: Annotated[
        bool,
        Meta(description="Whether a letterbox enlarges a picture that is smaller."),
    ] = True

    def __post_init__(self) -> None:
        ways = {"shorter": self.shorter, "exact": self.exact, "letterbox": self.letterbox}
        given = [name for name, value in ways.items() if value is not None]
        if len(given) != 1:
            raise ValueError(
                "exactly one of shorter, exact and letterbox must be set, found "
                + (" and ".join(given) or "none")
            )
        for name in ("exact", "letterbox"):
            side = ways[name]
            if side is not None:
                checked(name, side)

    @property
    def fixed(self) -> Geometry | None:
        """The size that every picture gets, None where that depends on the picture."""
        side = self.exact if self.exact is not None else self.letterbox
        return None if side is None else pair_of(side)


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a picture may be; one beyond is refused with 400 before it is decoded."""

    bytes: Annotated[
        Size,
        Meta(ge=1, description="Size of one encoded picture. A body's limit holds as well."),
    ] = 20 << 20
    pixels: Annotated[
        int,
        Meta(
            ge=1, le=1 << 30,
            description="Width times height. "
            "Danger: a decoding thread takes 8 bytes of memory for each in a JPEG, 12 in one "
            "that is turned, up to 21 in a transparent WebP.",
        ),
    ] = 25_000_000  # fmt: skip
    side: Annotated[
        int, Meta(ge=1, le=65535, description="Width and height, each.")
    ] = 16_384  # fmt: skip
    frames: Annotated[
        int,
        Meta(
            ge=1, le=10_000,
            description="Frames of an animated PNG or WebP; the first one is taken. 1 refuses "
            "animations.",
        ),
    ] = 1  # fmt: skip
    scans: Annotated[
        int,
        Meta(
            ge=1, le=1000,
            description="Passes of a progressive JPEG, each of which costs as much as the whole "
            "of another; cameras and programs make about 10.",
        ),
    ] = 32  # fmt: skip
    rows: Annotated[
        int,
        Meta(ge=1, le=65536, description="Pictures of one request."),
    ] = 256
    time: Annotated[
        Duration,
        Meta(gt=0, description="How long the pictures of one request are decoded; rows that were "
             "not begun by then are refused with the request."),
    ] = 10.0  # fmt: skip
