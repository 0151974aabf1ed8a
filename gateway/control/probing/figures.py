# SPDX-License-Identifier: Apache-2.0
"""Figures of probes as metrics: what the last round of each model has found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.quality.probes.report import Round
    from gateway.telemetry import Telemetry


class Figures:
    """Fills the metrics of probes in *telemetry*.

    Flips and accuracy of the direct path are those of the worst endpoint.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def __repr__(self) -> str:
        return "<Figures>"

    def take(self, found: Round) -> None:
        """Take what a round has *found*."""
        telemetry = self._telemetry
        telemetry.probes.rounds.cell(found.model, found.outcome).value += 1
        flips: dict[str, int] = {}
        right: dict[str, float] = {}
        for each in found.series:
            if each.error:
                continue
            path = each.path
            change = each.change
            flipped = 0 if change is None else change.rows if change.fault else change.flipped
            flips[path] = max(flipped, flips.get(path, 0))
            if "accuracy" in each.figures:
                accuracy = each.figures["accuracy"].value
                right[path] = min(accuracy, right.get(path, accuracy))
        for path, flipped in flips.items():
            telemetry.probes.flips.cell(found.model, path).value = flipped
            telemetry.probes.seconds.cell(found.model, path).value = found.started + found.seconds
        for path, accuracy in right.items():
            telemetry.probes.accuracy.cell(found.model, path).value = accuracy
