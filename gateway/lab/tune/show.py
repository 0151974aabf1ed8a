# SPDX-License-Identifier: Apache-2.0
"""Show: what a search found, for people, in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.lab.tune.pareto import Point
    from gateway.lab.tune.result import Tuning

# So many settings are shown; the JSON has all.
_MOST: Final = 12
_MIB: Final = 1 << 20


def show(tuning: Tuning, console: Console) -> None:
    """Print *tuning*."""
    console.print(_front(tuning))
    for line in tuning.reasons:
        console.print(f"• {line}", markup=False, highlight=False, soft_wrap=True)
    if tuning.difference:
        console.print()
        for line in tuning.difference.splitlines():
            style = {"+": "green", "-": "red"}.get(line[:1], "dim")
            console.print(Text(line, style=style), soft_wrap=True)


def _front(tuning: Tuning) -> Table:
    """The Pareto front first, then the next best."""
    table = Table(
        "", "setting", "requests/s", "ms", "MiB", "accuracy", box=SIMPLE_HEAD, pad_edge=False
    )
    ranked = sorted(tuning.points, key=lambda one: (not one.front, -one.throughput))
    for one in ranked[:_MOST]:
        accuracy = "" if one.accuracy is None else f"{one.accuracy:.4f}"
        table.add_row(
            _mark(one), one.name, f"{one.throughput:,.0f}", f"{one.latency * 1e3:.2f}",
            f"{one.memory / _MIB:,.0f}", accuracy, style="" if one.feasible else "dim",
        )  # fmt: skip
    if len(ranked) > _MOST:
        table.add_row("", f"… {len(ranked) - _MOST} more", "", "", "", "")
    return table


def _mark(point: Point) -> str:
    if point.chosen:
        return "chosen"
    return "front" if point.front else ""
