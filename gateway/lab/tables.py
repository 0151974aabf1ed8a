# SPDX-License-Identifier: Apache-2.0
"""Tables: an evaluation for people, in a terminal."""

from __future__ import annotations

from math import isfinite, isnan
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from gateway.confusion_table import brief, confusion_table
from gateway.statistics.figures import AVERAGES

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.lab.quality import Latency, Quality
    from gateway.statistics.estimate import Estimate

# A terminal shows so many classes; the JSON has all of them.
_MOST_CLASSES: Final = 40
_MOST_CELLS: Final = 16


def show(quality: Quality, console: Console) -> None:
    """Print *quality* as tables."""

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    say(
        f"{quality.model}: {quality.rows} rows of {quality.data} by {quality.protocol}, "
        f"{quality.rule} of '{quality.output}', {quality.seconds:.2f} s"
    )
    if quality.accuracy is not None:
        name = "accuracy" if quality.task == "classification" else "accuracy of whole rows"
        say(f"{name} {quality.accuracy} at level {quality.level:g}")
    say(quality.sentence)
    for note in quality.notes:
        say(f"note: {note}")
    console.print(_figures(quality))
    if quality.classes:
        console.print(_classes(quality))
    if quality.confusion and len(quality.confusion) <= _MOST_CELLS:
        console.print(_confusion(quality))
    if quality.latency is not None:
        console.print(_latency(quality, quality.latency))
    if quality.under_load is not None:
        say(_verdict(quality))


def _verdict(quality: Quality) -> str:
    load = quality.under_load
    if load is None:
        return ""
    most = load.largest_score_change
    rounding = "" if most is None else f"; no score moved by more than {most:.2g}"
    if not load.changed_rows:
        return (
            f"under load, in other batches and another order, all {quality.rows} rows were "
            f"answered as at rest{rounding}"
        )
    which = ", ".join(map(str, load.first_changed))
    return (
        f"under load {load.changed_rows} of {quality.rows} rows were answered otherwise than at "
        f"rest: rows {which}{' and more' if load.changed_rows > len(load.first_changed) else ''}"
    )


def _figures(quality: Quality) -> Table:
    """Those that have no place in another table."""
    elsewhere = {f"{how}_{part}" for how in AVERAGES for part in ("precision", "recall", "f1")}
    if not quality.averages:
        elsewhere = set()
    table = Table("figure", "value", "interval", "made by", box=SIMPLE_HEAD)
    for name, one in quality.figures.items():
        if name not in elsewhere:
            table.add_row(name.replace("_", " "), f"{one.value:.4f}", _ends(one), one.method)
    accuracy = quality.accuracy
    if accuracy is not None and accuracy.always is not None:
        lower, upper = accuracy.always
        ends = f"{lower:.4f}-{upper:.4f}"
        table.add_row(
            "accuracy, at every look", f"{accuracy.value:.4f}", ends, "confidence sequence"
        )
    return table


def _ends(one: Estimate) -> str:
    if not isfinite(one.lower) or not isfinite(one.upper):
        return ""
    return f"{one.lower:.4f}-{one.upper:.4f}"


def _classes(quality: Quality) -> Table:
    areas = any(one.roc_auc is not None for one in quality.classes)
    heads = ["class", "precision", "recall", "F1", "spec.", *(["AUC"] if areas else [])]
    table = _table(*heads, "rows")
    for one in quality.classes[:_MOST_CLASSES]:
        cells = [_cell(one.precision), _cell(one.recall), _cell(one.f1)]
        cells.append(f"{one.specificity.value:.3f}")
        if areas:
            area = one.roc_auc
            cells.append("" if area is None or isnan(area.value) else f"{area.value:.3f}")
        table.add_row(str(one.label), *cells, str(one.recall.n))
    if len(quality.classes) > _MOST_CLASSES:
        table.add_row(f"… {len(quality.classes) - _MOST_CLASSES} more")
    table.add_section()
    for name, average in quality.averages.items():
        cells = []
        for part in ("precision", "recall", "f1"):
            cells.append(brief(getattr(average, part), *average.intervals[part]))
        table.add_row(name, *cells, *([""] * (1 + areas)), str(quality.rows))
    return table


def _cell(estimate: Estimate) -> str:
    return brief(estimate.value, estimate.lower, estimate.upper)


def _table(*heads: str) -> Table:
    return Table(*heads, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


def _confusion(quality: Quality) -> Table:
    return confusion_table([str(one.label) for one in quality.classes], quality.confusion)


def _latency(quality: Quality, rest: Latency) -> Table:
    main = next(iter(quality.figures))
    heads = ("in flight", "requests", "p50 ms", "p90 ms", "p99 ms", "rows/s")
    table = _table(main.replace("_", " "), "", *heads)
    rows = [("at rest", quality.figures[main], rest)]
    if quality.under_load is not None:
        rows.append(("under load", quality.under_load.main, quality.under_load.latency))
    for name, figure, one in rows:
        times = (f"{time:.2f}" for time in (one.p50_ms, one.p90_ms, one.p99_ms))
        table.add_row(f"{figure.value:.4f}", name, str(one.concurrency), str(one.requests), *times,
                      f"{one.rows_per_second:.0f}")  # fmt: skip
    return table
