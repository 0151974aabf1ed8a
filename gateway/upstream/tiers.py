# SPDX-License-Identifier: Apache-2.0
"""Tiers: how much of the load each tier of a pool takes as those before it lose endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# A tier takes all of the load until less than 1 / 1.4 of it (72 %) is available: what is left can
# bear that much more. The factor is Envoy's.
OVERPROVISIONING: Final = 1.4


def shares(available: Mapping[int, tuple[int, int]]) -> dict[int, float]:
    """The share of the load for each tier that gets any; they add up to 1.

    *available* says by tier how many endpoints of how many are available. Each tier takes what the
    ones before it leave, up to what it can bear. Where all together cannot bear the load, each
    takes as much more as its part of what is available.
    """
    found: dict[int, float] = {}
    left = 1.0
    for tier in sorted(available):
        healthy, count = available[tier]
        bears = min(left, OVERPROVISIONING * healthy / count)
        if bears > 0:
            found[tier] = bears
            left -= bears
        if left <= 1e-9:
            return found
    total = sum(found.values())
    return {tier: share / total for tier, share in found.items()}


def suffice(available: Mapping[int, tuple[int, int]]) -> bool:
    """Whether the tiers of *available* together can bear the whole load."""
    borne = sum(OVERPROVISIONING * healthy / count for healthy, count in available.values())
    return borne >= 1
