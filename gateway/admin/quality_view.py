# SPDX-License-Identifier: Apache-2.0
"""Quality view: what the admin port tells of figures, as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gateway.confusion_table import brief, confusion_table

if TYPE_CHECKING:
    from rich.console import RenderableType

# A matrix with more columns is no picture any more: its errors are listed instead.
MOST_COLUMNS: Final = 12
_MOST_CLASSES: Final = 40
_MOST_PAIRS: Final = 20
_PARTS: Final = ("precision", "recall", "f1")
_STYLES: Final = {"ok": "green", "insufficient": "dim", "few": "dim"}


def models(answer: dict[str, Any]) -> Iterator[RenderableType]:
    """One line for each model."""
    table = _table("model", "figure", "value", "interval", "F1", "labels", "coverage", "delay", "")
    for one in answer["models"]:
        figure, rows = one["figure"], one["rows"]
        alarm = one["alarm"]
        state = "ALARM" if alarm and alarm["on"] else figure["status"]
        state = "few" if state == "insufficient" else state
        table.add_row(
            one["model"],
            one["metric"].replace("_", " "),
            _plain(figure["value"]),
            _short_ends(figure),
            _number(one["f1"], 3) if rows["labelled"] else "-",
            str(rows["labelled"]),
            _share(rows["coverage"]),
            _time(one["delay"]["median"]),
            Text(state, style=_STYLES.get(state, "bold red")),
        )
    yield table
    if not answer["complete"]:
        yield Text("note: the ledger is still being read after a start: these are of a part of it")
    if not answer["models"]:
        yield Text("no model keeps predictions: give one a section 'quality'")


def details(answer: dict[str, Any], *, confusion: bool) -> Iterator[RenderableType]:
    """All that is known of one model."""
    rows, delay = answer["rows"], answer["delay"]
    yield Text(
        f"{answer['model']} {answer['role']}, {answer['window']['name']}: {rows['predictions']} "
        f"predictions, {rows['labelled']} labels ({_share(rows['coverage'])}), worth "
        f"{rows['effective']:.0f} rows; half of the labels within {_time(delay['median'])}"
    )
    yield Text(answer["sentence"])
    alarm = answer["alarm"]
    if alarm and alarm["on"]:
        yield Text(f"ALARM: accuracy is below {alarm['target']:g}", style="bold red")
    for note in answer["notes"]:
        yield Text(f"note: {note}")
    yield _figures(answer)
    if answer["classes"]:
        yield _classes(answer)
    parts = [*answer["endpoints"], *answer["slices"]]
    if len(parts) > 1:
        yield _parts(parts)
    yield from _estimates(answer)
    if confusion and answer["confusion"]:
        yield _confusion(answer["confusion"])


def _figures(answer: dict[str, Any]) -> Table:
    table = _table("figure", "value", "interval", "same answer", "rows", "")
    for name, one in answer["figures"].items():
        target = one["target"]
        state = one["status"] if target or one["status"] != "ok" else ""
        table.add_row(
            name.replace("_", " "),
            _number(one["value"]),
            _ends(one),
            _number(one["baseline"]),
            str(one["n"]),
            Text(state, style=_STYLES.get(state, "bold red")),
        )
        if one["always"]:
            lower, upper = one["always"]
            table.add_row(
                f"{name.replace('_', ' ')}, at every look", "", f"{lower:.4f}-{upper:.4f}"
            )
    return table


def _classes(answer: dict[str, Any]) -> Table:
    table = _table("class", "precision", "recall", "F1", "spec.", "rows")
    for one in answer["classes"][:_MOST_CLASSES]:
        cells = [_brief(one[part]) for part in _PARTS]
        table.add_row(
            one["label"], *cells, _number(one["specificity"]["value"], 3), str(one["recall"]["n"])
        )
    left = len(answer["classes"]) - _MOST_CLASSES
    if left > 0:
        table.add_row(f"… {left} more")
    table.add_section()
    for name, average in answer["averages"].items():
        if name != "binary":
            table.add_row(name, *(_brief(average[part]) for part in _PARTS))
    return table


def _parts(parts: list[dict[str, Any]]) -> Table:
    table = _table("endpoint or slice", "value", "interval", "labels", "predictions")
    for one in parts:
        figure = one["figure"]
        # What a cache has answered names no endpoint.
        name = one["name"] or "(the cache)"
        table.add_row(
            name, _number(figure["value"]), _ends(figure), str(one["labelled"]),
            str(one["predictions"]),
        )  # fmt: skip
    return table


def _estimates(answer: dict[str, Any]) -> Iterator[RenderableType]:
    """What is said of rows without a label, each with what it assumes."""
    guess, powered = answer["without_labels"], answer["prediction_powered"]
    if guess:
        said = (
            f"Without labels: the probabilities promise {guess['value']:.4f} "
            f"({guess['lower']:.4f}-{guess['upper']:.4f})"
        )
        if guess["promised"] is not None:
            said += (
                f"; of the labelled rows they promised {guess['promised']:.4f}, and "
                f"{guess['came_true']:.4f} came true"
            )
        yield Text(f"{said}. {guess['assumes']}", style="dim")
    if powered:
        yield Text(
            f"With {powered['labels']} labels and {powered['others']} other predictions: "
            f"{powered['value']:.4f} ({powered['lower']:.4f}-{powered['upper']:.4f}). "
            f"{powered['assumes']}",
            style="dim",
        )


def _confusion(confusion: dict[str, Any]) -> RenderableType:
    names, cells = confusion["labels"], confusion["cells"]
    if len(names) <= MOST_COLUMNS:
        counts = [[0] * len(names) for _ in names]
        for true, predicted, count, _ in cells:
            counts[true][predicted] = count
        return confusion_table(_short(names), counts)
    table = _table("true", "predicted", "rows", "of its class")
    totals: dict[int, int] = {}
    for true, _, count, _ in cells:
        totals[true] = totals.get(true, 0) + count
    errors = [(true, said, count) for true, said, count, _ in cells if true != said]
    for true, said, count in errors[:_MOST_PAIRS]:
        table.add_row(names[true], names[said], str(count), f"{count / totals[true]:.1%}")
    return table


def _short(names: list[str]) -> list[str]:
    """Names that fit side by side, cut where that leaves them apart."""
    width = max(3, 60 // max(len(names), 1) - 1)
    cut = [name if len(name) <= width else f"{name[: width - 1]}…" for name in names]
    return cut if len(set(cut)) == len(names) else names


def _table(*heads: str) -> Table:
    return Table(*heads, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _ends(one: dict[str, Any]) -> str:
    if one["lower"] is None or one["upper"] is None:
        return ""
    return f"{one['lower']:.4f}-{one['upper']:.4f}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if abs(value) >= 1 else f"{value:.3f}"


def _short_ends(one: dict[str, Any]) -> str:
    if one["value"] is None or one["lower"] is None or one["upper"] is None:
        return "-"
    return f"{_plain(one['lower'])}-{_plain(one['upper'])}"


def _brief(one: dict[str, Any]) -> str:
    if one["value"] is None or one["lower"] is None or one["upper"] is None:
        return _number(one["value"], 3)
    return brief(one["value"], one["lower"], one["upper"])


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s")):
        if seconds >= size:
            return f"{seconds / size:.1f}{unit}"
    return f"{seconds * 1e3:.0f}ms"
