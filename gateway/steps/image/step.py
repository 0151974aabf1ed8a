# SPDX-License-Identifier: Apache-2.0
"""The step ``image``: from the encoded pictures that clients have to the tensor that a model takes.

It is one step, since between decoding and resizing pictures of different sizes are no tensor.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from gateway.steps.image.geometry import pair_of
from gateway.steps.image.options import FILTERS, Limits, Resize, Side, checked
from gateway.steps.image.values import PRESETS
from gateway.steps.numeric import finite
from gateway.steps.step import Kernel, Misfit, OneInput
from gateway.wire.model import ModelInfo, TensorSpec

_TAKEN = ("FP16", "FP32", "FP64", "UINT8")
_BYTE = Annotated[int, Meta(ge=0, le=255)]


class Image(OneInput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """JPEG, PNG and WebP pictures, one a row, decoded, resized, cropped and normalised."""

    kind: ClassVar[str] = "image"
    # A picture of ten kilobytes may take ten milliseconds.
    inline_bytes: ClassVar[int] = -1

    formats: Annotated[
        tuple[Literal["jpeg", "png", "webp"], ...],
        Meta(min_length=1, description="The formats that are taken, told by their signatures."),
    ] = ("jpeg", "png", "webp")
    orientation: Annotated[
        Literal["exif", "ignore"],
        Meta(
            description="Whether a picture is turned as its EXIF notes say. OpenCV does that by "
            "default, Pillow and torchvision do not."
        ),
    ] = "exif"
    color: Annotated[
        Literal["rgb", "bgr", "gray"],
        Meta(
            description="The channels and their order; colour profiles are ignored. "
            "Danger: the wrong order costs accuracy without a word."
        ),
    ] = "rgb"
    alpha: Annotated[
        Literal["drop", "white", "black"] | tuple[_BYTE, ...],
        Meta(
            description="What becomes of transparency: drop leaves it out, as Pillow's "
            "convert('RGB'); white, black or [red, green, blue] is what the picture is laid on."
        ),
    ] = "drop"
    sixteen_bit: Annotated[
        Literal["high_byte", "clip", "refuse"],
        Meta(
            description="What becomes of samples of 16 bits: high_byte divides them by 256, as "
            "OpenCV; clip makes 255 of what is above that in a grey PNG, as Pillow, whose colour "
            "is the high byte; refuse answers 400."
        ),
    ] = "high_byte"
    library: Annotated[
        Literal["pil", "opencv"],
        Meta(
            description="The library that the model's pictures were resized with in training: pil "
            "(torchvision, timm, transformers) or opencv. "
            "Danger: their filters differ, also where they share a name."
        ),
    ] = "pil"
    resize: Annotated[
        Resize | None,
        Meta(description="Without it a picture must come in the size that is cropped or taken."),
    ] = None
    jpeg_scaling: Annotated[
        bool,
        Meta(
            description="Whether a JPEG is decoded at a half, a quarter or an eighth of its size "
            "where that is still no less than it is resized to, as Pillow's draft(). "
            "Danger: several times quicker, and not the pixels of training."
        ),
    ] = False
    crop: Annotated[
        Side | None,
        Meta(
            description="The middle that is kept, one number or [height, width]; what a picture "
            "lacks is black."
        ),
    ] = None
    normalize: Annotated[
        Literal["imagenet", "inception", "clip", "unit", "none", "custom"],
        Meta(
            description="Numbers of samples: imagenet and clip are (x / 255 - mean) / std with "
            "the constants of these, inception is -1 to 1, unit 0 to 1, none 0 to 255; custom is "
            "(x * scale - mean) / std. "
            "Danger: another one than in training makes a model quietly wrong."
        ),
    ]
    scale: Annotated[
        float, Meta(description="For custom: what samples are multiplied by first.")
    ] = 1.0  # fmt: skip
    mean: Annotated[
        tuple[float, ...],
        Meta(description="For custom: one number, or one a channel in the order of 'color'."),
    ] = (0.0,)
    std: Annotated[tuple[float, ...], Meta(description="For custom: the same; never 0.")] = (1.0,)
    layout: Annotated[
        Literal["nchw", "nhwc"],
        Meta(description="Where the channels are: before height and width, or behind."),
    ] = "nchw"
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        needed = [("PIL", "image"), ("simplejpeg", "image")]
        if self.library == "opencv":
            needed.append(("cv2", "opencv"))
        for module, extra in needed:
            if find_spec(module) is None:
                raise ValueError(
                    f"the extra '{extra}' is not installed: pip install 'infergate[{extra}]'"
                )
        self._check_geometry()
        self._check_colours()

    def _check_geometry(self) -> None:
        if self.crop is not None:
            checked("crop", self.crop)
        resize = self.resize
        if resize is None:
            if self.jpeg_scaling:
                raise ValueError("jpeg_scaling needs resize: it says how small is too small")
            return
        if resize.filter not in FILTERS[self.library]:
            raise ValueError(
                f"resize.filter: {self.library} has no '{resize.filter}'; "
                f"expected one of {', '.join(FILTERS[self.library])}"
            )
        if resize.shorter is not None and self.crop is None:
            raise ValueError("resize.shorter leaves the longer side open: add crop")
        if len(resize.pad) not in {1, self.channels}:
            raise ValueError(f"resize.pad: expected 1 or {self.channels} numbers")

    def _check_colours(self) -> None:
        if not isinstance(self.alpha, str) and len(self.alpha) != 3:
            raise ValueError(f"alpha: expected [red, green, blue], got {list(self.alpha)}")
        custom = (self.scale, self.mean, self.std) != (1.0, (0.0,), (1.0,))
        if custom != (self.normalize == "custom"):
            raise ValueError(
                f"scale, mean and std belong to normalize: custom, it is {self.normalize}"
                if custom
                else "normalize: custom needs at least one of scale, mean and std"
            )
        lengths = {1, self.channels}
        finite("scale", self.scale)
        for name, values in (("mean", self.mean), ("std", self.std)):
            for value in values:
                finite(name, value)
            if len(values) not in lengths:
                raise ValueError(f"{name}: expected 1 or {self.channels} numbers")
        if 0.0 in self.std:
            raise ValueError("std must not be 0: every value is divided by it")
        preset = PRESETS.get(self.normalize)
        if preset is not None and self.channels < len(preset.mean):
            raise ValueError(
                f"normalize: {self.normalize} has numbers for red, green and blue; use custom "
                "for a gray picture"
            )

    @property
    def channels(self) -> int:
        """3, or 1 for grey."""
        return 1 if self.color == "gray" else 3

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of what comes out; None where the model says it."""
        if self.crop is not None:
            return pair_of(self.crop)
        return self.resize.fixed if self.resize is not None else None

    def recipe(self) -> bytes:
        """The fields, and the versions of the libraries: a decoder's rounding may change."""
        names = ["pillow", "simplejpeg"]
        if self.library == "opencv":
            names.append("opencv-python-headless")
        told = " ".join(f"{name} {_version(name)}" for name in names)
        return msgspec.msgpack.encode(self) + told.encode()

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:
        """One encoded picture a row."""
        if spec.datatype not in _TAKEN:
            raise Misfit(
                f"input '{spec.name}' is {spec.datatype} behind it; it gives {', '.join(_TAKEN)}"
            )
        if spec.datatype == "UINT8" and self.normalize != "none":
            raise Misfit(
                f"input '{spec.name}' is UINT8 behind it, which holds samples as they are; "
                f"expected normalize: none, it is {self.normalize}"
            )
        rows, row = self._parts(spec, batched=batched)
        if row is None:
            size = self.size
            shown = [*("?" if n < 1 else str(n) for n in self._row(spec.shape[-3:]))]
            where = "" if size is not None else "; neither resize nor crop gives a size"
            raise Misfit(
                f"it gives [{'-1, ' if batched else ''}{', '.join(shown)}] ({self.layout}, "
                f"{self.color}), but input '{spec.name}' is {list(spec.shape)} behind it{where}"
            )
        return TensorSpec(spec.name, "BYTES", (rows,))

    def bind_to(self, info: ModelInfo) -> Kernel:
        """The kernel that makes the input as *info* has it; raises Misfit.

        Rows are decoded side by side.
        """
        from gateway.steps.image.pictures import Pictures  # noqa: PLC0415 - an extra

        place = self._place(info)
        spec = info.inputs[place]
        self.source(spec, batched=info.batched)
        _, row = self._parts(spec, batched=info.batched)
        assert row is not None  # noqa: S101 - source has found one
        pictures = Pictures(self, datatype=spec.datatype, row=row, stacked=len(spec.shape) == 4)
        return self.kernel(spec.name, "BYTES", pictures, alone=len(info.inputs) == 1)

    def _parts(self, spec: TensorSpec, *, batched: bool) -> tuple[int, tuple[int, ...] | None]:
        """How many pictures a client sends, -1 for any number, and the shape that each becomes.

        No shape where *spec* takes another than this gives.
        """
        found = spec.shape
        rows = -1 if batched else 1
        if len(found) == 4 and not batched:
            # Either so many pictures and no others, or a dimension that is free and not merged.
            rows = found[0]
        row = self._row(found[-3:])
        fits = (
            len(found) in ({4} if batched else {3, 4})
            and all(have in {-1, want} for have, want in zip(found[-3:], row, strict=True))
            and min(row) > 0
        )
        return rows, row if fits else None

    def _row(self, found: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one row; where no option says its size, that which was *found*."""
        size = self.size
        if size is None:
            sides = found[1:] if self.layout == "nchw" else found[:2]
            size = (sides[0], sides[1]) if len(sides) == 2 else (-1, -1)
        return (self.channels, *size) if self.layout == "nchw" else (*size, self.channels)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"
