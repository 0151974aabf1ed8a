# SPDX-License-Identifier: Apache-2.0
"""The ``augment`` section of a model: test-time augmentation."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from gateway.units import Size

_MOST_VIEWS: Final = 64


# Looked up when a configuration first needs it: views import numpy.
def _views() -> dict[str, type[Struct]]:
    from gateway.steps.views import VIEWS  # noqa: PLC0415 - see above

    return dict(VIEWS)


class AugmentConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Each row is asked about in several views, in one batch, and the answers become one.

    The views are made of the finished tensors, behind the ``preprocess`` steps; the
    ``postprocess`` steps see the merged outputs. A row costs as many rows as it has views.
    """

    views: Annotated[
        tuple[Any, ...],
        Meta(
            min_length=1,
            max_length=_MOST_VIEWS,
            extra={"steps": _views},
            description="How a row is seen, one entry a view; identity is the row as it is.",
        ),
    ]
    merge: Annotated[
        Literal["mean", "logits", "median", "vote"],
        Meta(
            description="How the answers become one: the mean of the probabilities, the mean of "
            "their logarithms, the median of each class, or the share of the views that name a "
            "class."
        ),
    ] = "mean"
    given: Annotated[
        Literal["probabilities", "logits", "values"],
        Meta(
            description="What the model's output holds, which the merged one holds too; values are "
            "no classes, as in a regression."
        ),
    ] = "probabilities"
    below: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        Meta(
            description="Only rows whose highest probability is less than this, in a first pass "
            "without views, are asked about again in all views; without it all rows are, at once."
        ),
    ] = None
    input: Annotated[
        str,
        Meta(description="Name of the input with the pictures; needed where there are several."),
    ] = ""
    output: Annotated[
        str,
        Meta(description="Name of the output with the scores; needed where several could be it."),
    ] = ""
    layout: Annotated[
        Literal["NCHW", "NHWC"],
        Meta(description="Where the channels of a picture stand: before its pixels, or behind."),
    ] = "NCHW"
    shape: Annotated[
        tuple[Annotated[int, Meta(ge=1)], ...],
        Meta(
            max_length=3,
            description="What a row is that comes as a flat vector: height and width, or with "
            "channels as 'layout' says.",
        ),
    ] = ()
    fill: Annotated[
        float | None,
        Meta(
            description="The value beyond the edge of a picture, as the model sees values; without "
            "it the pixel at the edge is repeated."
        ),
    ] = None
    max_bytes: Annotated[
        Size,
        Meta(
            ge=1,
            description="A request whose views take more bytes is answered in several batches, one "
            "after the other.",
        ),
    ] = 32 << 20

    def __post_init__(self) -> None:
        if self.given == "values" and self.merge not in {"mean", "median"}:
            raise ValueError(f"merge {self.merge} is for classes; values have a mean or a median")
        if self.given == "values" and self.below is not None:
            raise ValueError("'below' is a probability, and values have none")
        if len(self.shape) == 1:
            raise ValueError("shape is height and width, with channels where there are")
        if self.fill is not None and not math.isfinite(self.fill):
            raise ValueError("fill must be a finite number")

    def goes_by_request(self) -> bool:
        """Whether equal questions may have different answers."""
        return any(getattr(view, "seed", "") == "request" for view in self.views)
