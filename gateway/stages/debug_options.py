# SPDX-License-Identifier: Apache-2.0
"""The sections of a model for whoever looks after its steps: golden vectors, and debugging."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class GoldenConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Vectors that the steps must reproduce before the model is served.

    A mismatch ends a start and refuses a reload. ``infergate golden`` writes such a file.
    """

    file: Annotated[
        str, Meta(min_length=1, description="An .npz file; see docs/how-to/golden-vectors.md.")
    ]
    rtol: Annotated[
        float,
        Meta(ge=0, description="How far a number may be off, as a part of what is expected."),
    ] = 1e-6
    atol: Annotated[
        float, Meta(ge=0, description="How far a number may be off in addition to that.")
    ] = 1e-6


class DebugConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What helps to find out why a model is wrong."""

    preprocess: Annotated[
        bool,
        Meta(
            description="Answer POST /v2/models/NAME/preprocess with the tensors that would reach "
            "the model. Danger: clients see how inputs are processed."
        ),
    ] = False
