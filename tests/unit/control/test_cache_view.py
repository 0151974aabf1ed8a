# SPDX-License-Identifier: Apache-2.0
"""The cache as the admin API shows it."""

from __future__ import annotations

from gateway.control.cache_view import cache_view
from gateway.telemetry import Telemetry


def test_what_was_counted_is_shown_by_model_and_tier() -> None:
    """Models that are asked for, whether they have counted yet or not."""
    telemetry = Telemetry(["m", "n", "uncached"])
    telemetry.cache.cell("m", "memory", "hit").value = 3
    telemetry.cache.cell("m", "redis", "miss").value = 2
    telemetry.cache_rows.cell("m", "merged").value = 5
    telemetry.cache_verified.cell("m", "mismatch").value = 1
    telemetry.cache_saved_seconds.cell("m").value = 0.5
    telemetry.collapsed.cell("m").value = 7
    telemetry.cache_bytes.cell("memory").value = 1024

    view = cache_view(telemetry.take(), telemetry, ["m", "n"])

    assert view["bytes"] == {"memory": 1024}
    assert list(view["models"]) == ["m", "n"]
    assert view["models"]["n"]["tiers"] == {}
    shown = view["models"]["m"]
    assert shown["tiers"]["memory"]["hit"] == 3
    assert shown["tiers"]["redis"] == {"hit": 0, "stale": 0, "partial": 0, "miss": 2, "bypass": 0}
    assert shown["rows"]["merged"] == 5
    assert shown["verified"] == {"match": 0, "mismatch": 1, "failed": 0}
    assert (shown["collapsed"], shown["saved_seconds"]) == (7, 0.5)
