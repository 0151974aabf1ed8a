# SPDX-License-Identifier: Apache-2.0
"""The section ``batch`` of a model: what may be merged, and how much may wait."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.units import Duration, Size


class BatchConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Requests gather only while all workers are busy; there is no timer."""

    max_rows: Annotated[
        int,
        Meta(
            ge=1,
            le=65536,
            description=(
                "Rows of a batch at most; 1 turns merging off. The gateway merges fewer where more "
                "would not pay. Danger: the worker's memory grows with it."
            ),
        ),
    ] = 64
    queue_rows: Annotated[
        int,
        Meta(
            ge=1,
            description=(
                "Rows that may wait for a worker; above it requests are refused with 503. "
                "Danger: more of them answer a standing overload later, not better."
            ),
        ),
    ] = 4096
    queue_bytes: Annotated[
        Size,
        Meta(
            ge=1 << 10,
            description=(
                "Bytes of inputs that may wait for a worker; above it requests are refused with "
                "503. Danger: this much memory for each model and gateway process."
            ),
        ),
    ] = 256 << 20

    newest_first_after: Annotated[
        Duration,
        Meta(
            ge=0,
            description=(
                "Once the oldest request has waited so long, the newest is served first: in a "
                "standing overload those can still be in time. 0s: never. Danger: the oldest ones "
                "then wait until their deadlines."
            ),
        ),
    ] = 1.0

    def __post_init__(self) -> None:
        if self.queue_rows < self.max_rows:
            raise ValueError("queue_rows is below max_rows; no batch could ever be full")
