# SPDX-License-Identifier: Apache-2.0
"""The metrics of predictions on their way to be kept, and of shadows: a part of `Telemetry`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.telemetry.cells import Family, GaugeCell, SumCell


class SamplingMetrics:
    """The families that *counter* and *gauge* make of a name, a help text and labels."""

    def __init__(
        self,
        counter: Callable[..., Family[SumCell]],
        gauge: Callable[..., Family[GaugeCell]],
    ) -> None:
        self.samples = counter(
            "infergate_samples_total",
            "Predictions, by row, that were handed over to be kept, by who made them.",
            "model", "role",
        )  # fmt: skip
        self.samples_lost = counter(
            "infergate_samples_lost_total",
            "Predictions, by row, that were to be kept and were not handed over, by why.",
            "model", "reason",
        )  # fmt: skip
        self.shadow = counter(
            "infergate_shadow_total",
            "Requests that were chosen for a shadow, by what became of them.",
            "model", "shadow", "result",
        )  # fmt: skip
        self.shadow_queued_rows = gauge(
            "infergate_shadow_queued_rows",
            "Rows that wait for a shadow or are under way to it.",
            "model", "shadow",
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<SamplingMetrics {self.samples.name} {self.shadow.name}>"
