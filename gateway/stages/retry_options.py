# SPDX-License-Identifier: Apache-2.0
"""The section ``retry`` of a model: how often a failed attempt is tried on another worker."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.units import Duration


class RetryBudgetConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many requests may be sent again beside those of the last *ttl* seconds.

    A batch counts as often as it has members.
    """

    percent: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description=(
                "Retries for each hundred requests. "
                "Danger: when all workers fail, the load on them grows by this much."
            ),
        ),
    ] = 20.0
    min_per_second: Annotated[
        float,
        Meta(
            ge=0,
            le=1e6,
            description="Retries a second allowed in any case, for a model with few requests.",
        ),
    ] = 10.0
    ttl: Annotated[
        Duration, Meta(ge=0.1, description="How long a request counts towards the budget.")
    ] = 10.0


class BackoffConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The wait before a retry: random, up to ``base * 2^attempt``."""

    base: Annotated[
        Duration,
        Meta(
            ge=0,
            description=(
                "What the wait before a retry grows from; none is made after a worker was lost or "
                "never reached, since another one is asked at once."
            ),
        ),
    ] = 0.01
    max: Annotated[Duration, Meta(ge=0, description="The longest wait before a retry.")] = 0.1

    def __post_init__(self) -> None:
        if self.max < self.base:
            raise ValueError("max is below base; it bounds what base grows to")


class RetryConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Retries go to another worker where there is one, and never beyond the deadline."""

    attempts: Annotated[
        int,
        Meta(
            ge=1,
            le=10,
            description="Attempts in all, the first one included; 1 turns retries off.",
        ),
    ] = 2
    quarantine: Annotated[
        Duration,
        Meta(
            ge=0,
            le=3600,
            description=(
                "How long an input that took two workers down is refused at once with 502 "
                "`poison_input`, whoever sends it; 0s: it is not. Each gateway process finds out "
                "by itself. Danger: a shorter time costs two workers more often."
            ),
        ),
    ] = 60.0
    budget: RetryBudgetConfig = RetryBudgetConfig()
    backoff: BackoffConfig = BackoffConfig()
