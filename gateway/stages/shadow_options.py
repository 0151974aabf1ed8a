# SPDX-License-Identifier: Apache-2.0
"""The section ``shadow`` of a model: who else is asked what it was asked, and how often."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.units import Duration, Share, Size


class ShadowRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """More of some requests: those that meet all of its conditions."""

    confidence_below: Annotated[
        Share | None,
        Meta(
            gt=0,
            le=1,
            description="The live model's highest probability is below this in one of the rows.",
        ),
    ] = None
    disagreement: Annotated[
        Share | None,
        Meta(
            gt=0,
            lt=1,
            description=(
                "Of the rows for which the live model said the same class, the shadow lately said "
                "another one for at least this share. Until 20 of them have been compared, it is "
                "met."
            ),
        ),
    ] = None
    slice: Annotated[
        dict[str, str] | None,
        Meta(description="The values of slices of the section quality, such as {region: eu}."),
    ] = None
    sample: Annotated[
        Share, Meta(description="The share of such requests; of all that hold, the largest counts.")
    ] = 1.0


class ShadowConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model that is asked the same behind the caller's back; its answers are only compared.

    Requests that were refused or failed are not mirrored, and nobody waits for the shadow.
    """

    model: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            description="Another model of this configuration, with workers or servers of its own.",
        ),
    ]
    sample: Annotated[
        Share,
        Meta(
            description=(
                "The share of requests that it is asked too, chosen by a keyed hash of their ids, "
                "cache hits included."
            )
        ),
    ] = 0.1
    when: Annotated[
        tuple[ShadowRule, ...],
        Meta(max_length=16, description="Of which requests it is asked more of."),
    ] = ()
    timeout: Annotated[
        Duration,
        Meta(
            gt=0,
            description="How long the shadow may take for a request, its wait included.",
        ),
    ] = 5.0
    concurrency: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="Requests that are under way to it at the same time; they share batches.",
        ),
    ] = 64
    queue_rows: Annotated[
        int,
        Meta(
            ge=1,
            description="Rows that may wait for it; above that the newest are dropped and counted.",
        ),
    ] = 1024
    queue_bytes: Annotated[
        Size,
        Meta(ge=1, description="Bytes of inputs that may wait for it or be under way to it."),
    ] = 64 << 20
    cache: Annotated[
        bool,
        Meta(
            description=(
                "Whether the shadow may answer from its own cache. Danger: an old answer says "
                "nothing of how it runs now."
            )
        ),
    ] = False
