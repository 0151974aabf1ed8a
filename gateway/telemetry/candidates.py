# SPDX-License-Identifier: Apache-2.0
"""The metrics of candidates and of who is told about them: a part of `Telemetry`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.telemetry.cells import Family, GaugeCell, HistogramCell, SumCell

# Buckets a fifth apart, for what is judged by a ratio: 0.1 ms to 35 s.
COMPARED_SECONDS: Final = tuple(round(0.0001 * 1.2**step, 9) for step in range(71))


class CandidateMetrics:
    """The families that *counter*, *gauge* and *histogram* make."""

    def __init__(
        self,
        counter: Callable[..., Family[SumCell]],
        gauge: Callable[..., Family[GaugeCell]],
        histogram: Callable[..., Family[HistogramCell]],
    ) -> None:
        self.requests = counter(
            "infergate_candidate_requests_total",
            "Live requests while a candidate answers a share of them, by who was chosen to answer.",
            "model", "arm", "result",
        )  # fmt: skip
        self.seconds = histogram(
            "infergate_candidate_seconds",
            "Time of these requests below the choice, by who answered, cache hits included.",
            "model", "arm",
            bounds=COMPARED_SECONDS,
        )  # fmt: skip
        self.share = gauge(
            "infergate_candidate_share",
            "The share of live requests that the model's candidate is to answer.",
            "model",
        )
        self.webhooks = counter(
            "infergate_webhooks_total",
            "Events for webhooks, by what became of them.",
            "kind", "result",
        )  # fmt: skip

    def __repr__(self) -> str:
        return "<CandidateMetrics>"
