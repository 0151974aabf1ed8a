# SPDX-License-Identifier: Apache-2.0
"""The metrics of quality probes and of drift: a part of `Telemetry`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.telemetry.cells import Family, GaugeCell, SumCell


class ProbeMetrics:
    """What probes found, made by *counter* and *gauge*, which take name, help and labels."""

    def __init__(
        self,
        counter: Callable[..., Family[SumCell]],
        gauge: Callable[..., Family[GaugeCell]],
    ) -> None:
        self.requests = counter(
            "infergate_probe_requests_total",
            "Quality probes answered by a gateway process, by HTTP status; they are in no other "
            "count of requests.",
            "model", "code",
        )  # fmt: skip
        self.rounds = counter(
            "infergate_probe_rounds_total",
            "Rounds of quality probes, by what they found.",
            "model", "outcome",
        )  # fmt: skip
        self.flips = gauge(
            "infergate_probe_flips",
            "Rows whose verdict the last round found changed, of the worst endpoint.",
            "model", "path",
        )  # fmt: skip
        self.accuracy = gauge(
            "infergate_probe_accuracy",
            "Share of rows that the last round found right by their labels, of the worst endpoint.",
            "model", "path",
        )  # fmt: skip
        self.seconds = gauge(
            "infergate_probe_timestamp_seconds",
            "When the last round that was answered on this path ended, in seconds since the epoch.",
            "model", "path",
        )  # fmt: skip

    def __repr__(self) -> str:
        return "<ProbeMetrics>"
