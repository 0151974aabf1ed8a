# SPDX-License-Identifier: Apache-2.0
"""Terminal: a report for people, in text."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gateway.lab.report.document import Report
from gateway.lab.report.reading import answers, milliseconds
from gateway.lab.report.tables import (
    Table,
    conditions_table,
    points_table,
    processes_table,
    ratios_table,
)

# Columns of the table of runs that eighty characters have room for.
_NARROW = ("run", "offered/s", "answered/s", "goodput/s", "p50 ms", "p99 ms", "errors", "")
_BAR = 24


def show(report: Report, console: Console, *, points: bool = True, verdict: bool = True) -> None:
    """Print *report*; without *points* the table of its runs is left out, and the *verdict*."""
    wide = console.width >= 110
    if points:
        table = points_table(report)
        _print(table if wide else _columns(table, _NARROW), console)
    if report.account is not None and report.account.spans:
        console.print(_spans(report))
    for made in (processes_table(report), conditions_table(report), ratios_table(report)):
        if made is not None and made.rows:
            _print(made, console)
    for good, sentence in answers(report):
        mark, style = ("yes", "green") if good else ("no ", "red") if good is False else ("   ", "")
        line = Text(f"{mark} ", style=style)
        line.append(sentence, style="")
        console.print(line)
    if not verdict:
        return
    word = report.verdict
    console.print(Text(word, style="bold green" if word == "VALID" else "bold red"))
    for reason in report.reasons:
        console.print(Text(f"    {reason}"))


def _columns(table: Table, names: tuple[str, ...]) -> Table:
    places = [place for place, head in enumerate(table.heads) if head in names]
    rows = [tuple(row[place] for place in places) for row in table.rows]
    return Table(table.title, tuple(table.heads[place] for place in places), rows)


def _print(table: Table, console: Console) -> None:
    made = RichTable(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for place, head in enumerate(table.heads):
        made.add_column(Text(head), justify="right" if place else "left", no_wrap=place > 0)
    for row in table.rows:
        made.add_row(*(Text(cell) for cell in row))
    console.print(made)


def _spans(report: Report) -> RichTable:
    made = RichTable("span", "ms", "share", "", box=SIMPLE_HEAD, pad_edge=False)
    made.columns[1].justify = made.columns[2].justify = "right"
    spans = [] if report.account is None else report.account.spans
    for span in spans:
        bar = "█" * max(1, round(span.share * _BAR))
        made.add_row(span.name, milliseconds(span.seconds), f"{span.share * 100:.0f} %", bar)
    return made
