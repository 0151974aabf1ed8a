# SPDX-License-Identifier: Apache-2.0
"""Report: outcomes as a table, and as JSON for another program."""

import dataclasses
import json
import math
from collections.abc import Sequence

from benchmarks.sim.scenario import Outcome, Scenario

HEADER = (
    "policy", "requests", "answered", "p50 ms", "p99 ms", "goodput/s", "attempts", "imbalance",
    "busiest",
)  # fmt: skip


def table(outcomes: Sequence[Outcome]) -> str:
    """A line for each of *outcomes*, in the Markdown of the pages under docs."""
    rows = [
        (
            each.policy,
            f"{each.requests}",
            f"{each.answered}",
            _milliseconds(each.p50),
            _milliseconds(each.p99),
            f"{each.goodput:.0f}",
            f"{each.attempts:.3f}",
            f"{each.imbalance:.2f}",
            f"{each.busiest:.0f}",
        )
        for each in outcomes
    ]
    widths = [max(len(row[column]) for row in (HEADER, *rows)) for column in range(len(HEADER))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * (width - (column > 0))}{':' * (column > 0)}" for column, width in
            enumerate(widths)]  # fmt: skip
    return "\n".join([line(HEADER), line(rule), *map(line, rows)])


def to_json(scenario: Scenario, outcomes: Sequence[Outcome]) -> str:
    """What was simulated, and what came of it; times in seconds, null where nobody was answered."""
    whole = {
        "scenario": dataclasses.asdict(scenario),
        "outcomes": [
            {
                name: None if isinstance(value, float) and math.isnan(value) else value
                for name, value in dataclasses.asdict(each).items()
            }
            for each in outcomes
        ],
    }
    return json.dumps(whole, indent=1) + "\n"


def _milliseconds(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{seconds * 1e3:.1f}"
