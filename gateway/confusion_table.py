# SPDX-License-Identifier: Apache-2.0
"""A confusion matrix in a terminal, and figures with their ends, as all commands print them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text


def confusion_table(names: Sequence[str], counts: Sequence[Sequence[int]]) -> Table:
    """Rows by true class; the deeper an error's background, the larger its part of the row.

    *counts* is [C, C] of classes *names*.
    """
    table = Table(
        "true \\ predicted", *names, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    for head in table.columns[1:]:
        head.justify = "right"
        head.no_wrap = True
    for place, (name, row) in enumerate(zip(names, counts, strict=True)):
        total = sum(row) or 1
        cells = []
        for column, count in enumerate(row):
            style = "bold green" if column == place else _shade(count / total)
            cells.append(Text(str(count) if count else "·", style=style if count else "dim"))
        table.add_row(name, *cells)
    return table


def _shade(share: float) -> str:
    red = 60 + int(160 * min(1.0, share * 4))
    return f"white on rgb({red},30,30)"


def brief(value: float, lower: float, upper: float) -> str:
    """Two digits are enough for the ends of an interval, and leave room for all columns."""
    ends = "-".join(f"{end:.2f}".removeprefix("0") for end in (lower, upper))
    return f"{value:.3f} {ends}"
