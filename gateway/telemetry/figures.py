# SPDX-License-Identifier: Apache-2.0
"""The metrics of how right the answers are: a part of `Telemetry`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.telemetry.cells import Family, GaugeCell


class FigureMetrics:
    """Live figures, made by *gauge*, which takes name, help and labels.

    *backend* is an endpoint, or ``all``; *window* is 1h, 24h or 30d.
    """

    def __init__(self, gauge: Callable[..., Family[GaugeCell]]) -> None:
        where = ("model", "backend", "window")
        self.accuracy = gauge(
            "infergate_accuracy", "Share of labelled answers that are right.", *where
        )
        self.accuracy_lower = gauge(
            "infergate_accuracy_lower", "Lower end of the interval of the accuracy.", *where
        )
        self.accuracy_upper = gauge(
            "infergate_accuracy_upper", "Upper end of the interval of the accuracy.", *where
        )
        self.accuracy_labels = gauge(
            "infergate_accuracy_labels", "Labelled rows behind the accuracy.", *where
        )
        self.precision = gauge(
            "infergate_precision", "Precision over the configured classes.", *where, "average"
        )
        self.recall = gauge(
            "infergate_recall", "Recall over the configured classes.", *where, "average"
        )
        self.f1 = gauge("infergate_f1", "F1 over the configured classes.", *where, "average")
        self.error = gauge(
            "infergate_absolute_error", "Mean absolute error of a regression.", *where
        )
        self.coverage = gauge(
            "infergate_label_coverage",
            "Share of predictions that have a label.",
            "model", "window",
        )  # fmt: skip
        self.delay = gauge(
            "infergate_label_delay_seconds",
            "Half of the labels come within this time after the prediction.",
            "model", "window",
        )  # fmt: skip
        self.target = gauge(
            "infergate_accuracy_target", "The accuracy that is wanted of the model.", "model"
        )
        self.alarm = gauge(
            "infergate_accuracy_alarm",
            "1 while the accuracy has fallen below its target.",
            "model",
        )
        self.bytes = gauge("infergate_figures_bytes", "Memory that live figures take.")
        self.left_out = gauge(
            "infergate_figures_left_out",
            "Labelled rows and predictions beyond the endpoints and slices that are told apart.",
            "model",
        )

    def __repr__(self) -> str:
        return "<FigureMetrics>"
