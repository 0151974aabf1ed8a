# SPDX-License-Identifier: Apache-2.0
"""History: reports of the past, listed, shown again and compared."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.lab import LabError
from gateway.lab.bench.outputs import Outputs, write
from gateway.lab.report.document import Report
from gateway.lab.report.reading import milliseconds, points_of, rate, response_of
from gateway.lab.report.store import Store, directory
from gateway.lab.report.terminal import show as show_report
from gateway.lab.search.gate import check

_HEADS: Final = ("name", "made", "kind", "load", "answers/s", "p50 ms", "p99 ms", "")


def list_kept(console: Console | None = None) -> int:
    """Print a line for each report, the oldest first."""
    store = Store(directory())
    out = console or Console()
    table = Table(*_HEADS, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for place in (4, 5, 6):
        table.columns[place].justify = "right"
    table.columns[0].overflow = "fold"
    for report in store.all():
        table.add_row(*(Text(cell) for cell in _line(report)))
    if table.row_count:
        out.print(table)
    else:
        out.print(f"no report in {store.where} yet", markup=False, soft_wrap=True)
    return 0


def _line(report: Report) -> tuple[str, ...]:
    times = response_of(report)
    load = answered = p50 = p99 = ""
    if report.limit is not None:
        load, answered = str(report.limit.slo), f"{rate(report.limit.rate)} at the limit"
    elif report.runs:
        plan = report.runs[0].plan
        load = f"{rate(plan.rate)}/s" if plan.is_open else f"{plan.concurrency} in flight"
        points = [one.throughput for one in points_of(report) if one.name == "run"]
        answered = rate(sum(points) / len(points))
    if len(times):
        p50, p99 = milliseconds(times.percentile(50)), milliseconds(times.percentile(99))
    verdict = "" if report.verdict == "VALID" else "INVALID"
    return report.name, report.when, report.kind, load, answered, p50, p99, verdict


def show_kept(name: str, outputs: Outputs, console: Console | None = None) -> int:
    """Print the report *name*, or that in the file *name*, and write it to files."""

    def shown() -> int:
        report = Store(directory()).find(name)
        show_report(report, console or Console())
        write(report, outputs)
        return 0

    return _told(shown)


def compare_kept(
    first: str, other: str, *, tolerance: float, level: float, console: Console | None = None
) -> int:
    """Print *other* beside *first*; 1 where it is worse by more than *tolerance*."""

    def compared() -> int:
        store = Store(directory())
        then, now = store.find(first), store.find(other)
        for name, report in ((first, then), (other, now)):
            if not report.runs:
                raise LabError(f"{name} holds no run at one load to compare: expected one")
        gate = check(now.runs, then.runs, baseline=first, tolerance=tolerance, level=level)
        out = Report(name=other, made=now.made, version=now.version, runs=now.runs, gate=gate)
        show_report(out, console or Console(), points=False)
        return 0 if gate.passed else 1

    return _told(compared)


def _told(action: Callable[[], int]) -> int:
    try:
        return action()
    except LabError as error:
        print(f"infergate bench history: {error}", file=sys.stderr)
        return 2
