# SPDX-License-Identifier: Apache-2.0
"""The metrics of quality probes and of drift: a part of `Telemetry`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.telemetry.cells import Family, GaugeCell, SumCell


class ProbeMetrics:
    """What probes and the watch for drift found.

    *counter* and *gauge* make families of name, help and labels.
    """

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
        self.observed = counter(
            "infergate_drift_rows_total",
            "Rows drawn to be looked at for drift, by what became of them.",
            "model", "result",
        )  # fmt: skip
        self.psi = gauge(
            "infergate_drift_psi",
            "Population stability index of a feature in the last hour, beside the reference.",
            "model", "feature",
        )  # fmt: skip
        self.alarms = gauge(
            "infergate_drift_alarms",
            "Features that differ from the reference by more than chance and more than matters.",
            "model", "window",
        )  # fmt: skip

    def __repr__(self) -> str:
        return "<ProbeMetrics>"
