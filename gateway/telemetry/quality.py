# SPDX-License-Identifier: Apache-2.0
"""The metrics of predictions, labels and the ledger: a part of `Telemetry`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.telemetry.cells import Family, GaugeCell, SumCell


class QualityMetrics:
    """The families that *counter* and *gauge* make of a name, a help text and labels."""

    def __init__(
        self,
        counter: Callable[..., Family[SumCell]],
        gauge: Callable[..., Family[GaugeCell]],
    ) -> None:
        self.ledger_predictions = counter(
            "infergate_ledger_predictions_total",
            "Predictions that the control process took, by what became of them.",
            "model", "result",
        )  # fmt: skip
        self.ledger_removed = counter(
            "infergate_ledger_removed_total",
            "Predictions and labels taken out of the ledger, by why.",
            "kind", "reason",
        )  # fmt: skip
        self.ledger_bytes = gauge(
            "infergate_ledger_bytes", "Bytes of the ledger, free room within it left out."
        )
        self.ledger_waiting_bytes = gauge(
            "infergate_ledger_waiting_bytes", "Bytes that wait to be written to the ledger."
        )
        self.ledger_up = gauge(
            "infergate_ledger_up", "1 while the ledger can be written, 0 while it cannot."
        )
        self.labels = counter(
            "infergate_labels_total", "Labels, by what became of them.", "model", "result"
        )
        self.labels_waiting = gauge(
            "infergate_labels_waiting", "Labels that wait for their predictions."
        )
        self.ledger_errors = counter(
            "infergate_ledger_errors_total",
            "Failed attempts to use the ledger's database, by why.",
            "reason",
        )

    def __repr__(self) -> str:
        return "<QualityMetrics>"
