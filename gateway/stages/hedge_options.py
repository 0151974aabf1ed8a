# SPDX-License-Identifier: Apache-2.0
"""The section ``hedge`` of a model: when a slow attempt is raced by a second one."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.units import Duration, Share


class HedgeConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A second attempt on an idle worker once the first takes unusually long.

    The first answer counts. It spends the retry budget. Without the section nothing is hedged.
    """

    percentile: Annotated[
        float,
        Meta(
            gt=0,
            lt=100,
            description=(
                "An attempt is slow when it takes longer than this percentile of the latest ones."
            ),
        ),
    ] = 95.0
    min_delay: Annotated[
        Duration,
        Meta(ge=0, description="No attempt is slow before that."),
    ] = 0.001
    max_extra_load: Annotated[
        Share,
        Meta(
            description=(
                "Hedges for each attempt, at most. Danger: what makes all workers slow makes all "
                "attempts look slow, and this much more is asked of them."
            )
        ),
    ] = 0.01
