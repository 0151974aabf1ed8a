# SPDX-License-Identifier: Apache-2.0
"""The view of the response cache, put together from what all processes have counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.telemetry import Telemetry
    from gateway.telemetry.cells import Family
    from gateway.telemetry.snapshot import Snapshot

RESULTS: Final = ("hit", "stale", "partial", "miss", "bypass")
ROWS: Final = ("hit", "merged", "collapsed", "miss")
CHECKS: Final = ("match", "mismatch", "failed")


def cache_view(metrics: Snapshot, telemetry: Telemetry, models: Iterable[str]) -> dict[str, Any]:
    """Look-ups by tier, rows, checks and what was saved, for each of *models*; bytes by tier.

    *telemetry* says which metrics of the snapshot they are.
    """
    families = {family.name: dict(family.samples) for family in metrics.families}

    def count(family: Family[Any], *labels: str) -> float:
        return families.get(family.name, {}).get(labels, [0.0])[0]

    def counts(family: Family[Any], results: Iterable[str], *labels: str) -> dict[str, int]:
        return {result: int(count(family, *labels, result)) for result in results}

    looked_up = families.get(telemetry.cache.name, {})
    shown = {}
    for model in models:
        tiers = dict.fromkeys(layer for name, layer, _ in looked_up if name == model)
        shown[model] = {
            "tiers": {tier: counts(telemetry.cache, RESULTS, model, tier) for tier in tiers},
            "rows": counts(telemetry.cache_rows, ROWS, model),
            "verified": counts(telemetry.cache_verified, CHECKS, model),
            "collapsed": int(count(telemetry.collapsed, model)),
            "saved_seconds": count(telemetry.cache_saved_seconds, model),
        }
    sizes = families.get(telemetry.cache_bytes.name, {})
    return {"models": shown, "bytes": {labels[0]: int(held[0]) for labels, held in sizes.items()}}
