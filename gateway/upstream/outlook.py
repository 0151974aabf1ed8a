# SPDX-License-Identifier: Apache-2.0
"""Outlook: what a pool sees when not all of its endpoints are equal, healthy and its own alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.upstream.tiers import shares, suffice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.upstream.endpoint import Endpoint


class Seen:
    """An endpoint as a policy is to see it; see `gateway.upstream.policy.seam.Loaded`.

    *pending* and *pending_rows* are those of all gateway processes, *weight* is that within the
    whole pool.
    """

    __slots__ = ("endpoint", "name", "pending", "pending_rows", "weight")

    def __init__(self, endpoint: Endpoint, weight: float) -> None:
        elsewhere = endpoint.elsewhere
        self.endpoint = endpoint
        self.name = endpoint.name
        self.pending = endpoint.pending
        self.pending_rows = endpoint.pending_rows
        self.weight = weight
        if elsewhere is not None:
            pending, rows = elsewhere()
            self.pending += pending
            self.pending_rows += rows

    def __repr__(self) -> str:
        return f"<Seen {self.endpoint!r} weight={self.weight:g}>"


def panics(endpoints: Sequence[Endpoint], threshold: float) -> bool:
    """Whether so few *endpoints* are available that ejections are to be ignored.

    Those that an operator drains, or that never came up, are not counted. Where another tier can
    bear the load there is no need to.
    """
    members = [each for each in endpoints if each.info is not None and not each.draining]
    available = sum(each.healthy for each in members)
    if available >= threshold * len(members):
        return False
    return not suffice(_by_tier(endpoints))


def usable(
    endpoints: Sequence[Endpoint], *, panic: bool, tiered: bool
) -> list[tuple[Endpoint, float]]:
    """The endpoints that may be sent requests, were it not for their load, with their weights.

    In a *panic* ejected ones are among them, though none without a connection: nothing could be
    sent to it. Where the pool is *tiered* only those of tiers that get any of the load are, and
    weights are such that each tier gets its share.
    """
    able = [
        each
        for each in endpoints
        if each.healthy or (panic and each.liveness.up and not each.draining and not each.wrong)
    ]
    if panic and not able:
        # Whoever gives wrong answers is the last resort, as an ejection never takes the last one.
        able = [each for each in endpoints if each.liveness.up and not each.draining]
    if panic or not tiered:
        return [(each, each.weight) for each in able]
    share = shares(_by_tier(endpoints))
    totals: dict[int, float] = {}
    for each in able:
        totals[each.tier] = totals.get(each.tier, 0.0) + each.weight
    return [
        (each, each.weight * share[each.tier] / totals[each.tier])
        for each in able
        if each.tier in share
    ]


def _by_tier(endpoints: Sequence[Endpoint]) -> dict[int, tuple[int, int]]:
    """How many of how many endpoints of each tier are available."""
    found: dict[int, tuple[int, int]] = {}
    for each in endpoints:
        available, count = found.get(each.tier, (0, 0))
        found[each.tier] = (available + each.healthy, count + 1)
    return found
