# SPDX-License-Identifier: Apache-2.0
"""The section ``sampling``, and the slices of a model: who is chosen, and told apart by what."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class SamplingConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which requests are kept, mirrored or sent to a candidate follows from their ids."""

    secret: Annotated[
        str | None,
        Meta(
            description=(
                "What gateways on several hosts have in common so that they choose the same ids, "
                "such as ${SAMPLING_SECRET} or file:PATH, at least 16 characters; null: one that "
                "is made at the start, for this host alone. Danger: whoever knows it can make up "
                "ids that are chosen, or that never are."
            )
        ),
    ] = None


class SliceConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tag by which figures are told apart, from a header or a request parameter."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^[a-z][a-z0-9_]*$",
            max_length=32,
            description="What it is called in figures.",
            extra={"expected": "lower-case letters, digits and '_', a letter first"},
        ),
    ]
    header: Annotated[
        str | None,
        Meta(description="The request header with its value; either this or parameter."),
    ] = None
    parameter: Annotated[
        str | None,
        Meta(
            description=(
                "The v2 request parameter with its value, which the model and the cache see too: "
                "requests that differ in it share no batch."
            )
        ),
    ] = None
    values: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...],
        Meta(
            max_length=1024,
            description=(
                "The values that are told apart, all others being `other`; without any the first "
                "ones that each gateway process sees, as many as most."
            ),
        ),
    ] = ()
    most: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="How many values are told apart where none are listed.",
        ),
    ] = 32
