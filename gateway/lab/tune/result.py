# SPDX-License-Identifier: Apache-2.0
"""Tuning: the result of a search, as plain data for programs and for reports."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.lab.quantize.make import Quantised
from gateway.lab.tune.confirm import Choice
from gateway.lab.tune.measured import Trial
from gateway.lab.tune.pareto import Point
from gateway.lab.tune.setting import Setting, Space

# Of the JSON; it grows when a reader of the old one would misread the new one.
SCHEMA_VERSION: Final = 1


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, tried and chosen.

    *start* is the setting of before, and *settings* how many there are in the *space*. *choice* is
    null where it was interrupted before anything was measured twice. *difference* is
    that of the configuration, *points* all settings for a chart, *quantised* the models in other
    precisions with their verdicts, *refusals* why one of them is out.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    slo: str
    max_accuracy_drop: float
    machine: dict[str, str]
    space: Space
    settings: int
    start: Setting
    trials: list[Trial]
    choice: Choice | None
    points: list[Point]
    reasons: list[str]
    difference: str
    quantised: dict[str, Quantised] = {}
    refusals: dict[str, str] = {}
    seconds: float = 0.0
    complete: bool = True

    def json(self) -> bytes:
        """This as an indented JSON object; what is no number is null."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"
