# SPDX-License-Identifier: Apache-2.0
"""The section ``server.overload``: what a gateway process may use before it takes no more."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.units import Duration, Share, Size


class OverloadConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a gateway process may use before it parts with clients and refuses requests."""

    memory_limit: Annotated[
        Annotated[Size, Meta(ge=1 << 20)] | None,
        Meta(
            description=(
                "The memory that one gateway process may have; null: the limit of its control "
                "group, or the machine's memory where there is none, divided by the number of "
                "gateway processes. Danger: workers need theirs of the same machine or group, "
                "which null knows nothing of."
            )
        ),
    ] = None
    memory_part: Annotated[
        Share,
        Meta(
            description=(
                "The share of memory_limit in use from which connections are closed behind their "
                "answer; 0: never."
            )
        ),
    ] = 0.92
    memory_refuse: Annotated[
        Share,
        Meta(
            description=(
                "The share of memory_limit in use from which inference requests are refused with "
                "503, large ones before their body is read; 0: never."
            )
        ),
    ] = 0.95
    descriptors_part: Annotated[
        Share,
        Meta(
            description=(
                "The share of the file descriptors (`ulimit -n`) in use from which connections are "
                "closed behind their answer; 0: never."
            )
        ),
    ] = 0.8
    descriptors_refuse: Annotated[
        Share,
        Meta(
            description=(
                "The share of the file descriptors in use from which inference requests are "
                "refused with 503; 0: never."
            )
        ),
    ] = 0.95
    lag_part: Annotated[
        Duration,
        Meta(
            ge=0,
            description=(
                "The lag of the event loop from which connections are closed behind their answer; "
                "0s: never. Danger: with one gateway process clients come back to the same one, "
                "and a new connection costs it more than a request."
            ),
        ),
    ] = 0.0
    lag_refuse: Annotated[
        Duration,
        Meta(
            ge=0,
            description=(
                "The lag of the event loop (99th percentile, twice in a row within half a second) "
                "from which inference requests are refused with 503; 0s: never. Danger: a machine "
                "that stalls for that long again and again refuses what it could have answered."
            ),
        ),
    ] = 0.25
