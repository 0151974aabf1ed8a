# SPDX-License-Identifier: Apache-2.0
"""The section ``cache`` of a model: whether and for how long its answers are kept."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.units import Duration, Share, Size


class ModelCacheConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model without this section is not cached."""

    ttl: Annotated[
        Duration,
        Meta(
            gt=0,
            description=(
                "How long an answer is kept. A changed model file never answers from old entries, "
                "however long they live. Danger: a model that is not a pure function of its inputs "
                "answers from the past for so long."
            ),
        ),
    ] = 3600.0
    jitter: Annotated[
        Share,
        Meta(
            description=(
                "The share of the ttl by which each entry's own is shortened at random, so that "
                "what was stored together does not end together."
            )
        ),
    ] = 0.1
    lock_timeout: Annotated[
        Duration,
        Meta(
            gt=0,
            description=(
                "How long a request waits for another one with the same question to be answered "
                "before it asks the model itself."
            ),
        ),
    ] = 5.0
    max_entry_bytes: Annotated[
        Size,
        Meta(
            ge=1,
            description="Answers above this size are not stored: one of them would evict many.",
        ),
    ] = 4 << 20
