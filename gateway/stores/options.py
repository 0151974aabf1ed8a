# SPDX-License-Identifier: Apache-2.0
"""The section ``cache`` of the whole server: where cached answers are kept, and how many."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.units import Size


class CacheConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The store that all models with a cache share."""

    store: Annotated[
        Literal["memory"],
        Meta(description="Where answers are kept: memory is that of each gateway process."),
    ] = "memory"
    max_bytes: Annotated[
        Size,
        Meta(
            ge=1 << 20,
            description=(
                "Size of the store, with its own overhead; the least recently used goes first. "
                "Danger: each gateway process has one of this size."
            ),
        ),
    ] = 256 << 20
