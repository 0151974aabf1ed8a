# SPDX-License-Identifier: Apache-2.0
"""Page: a report as one HTML file that needs nothing else, neither network nor server.

plotly's script comes from its package and stands in the file; a policy in the head forbids any
request. What names and texts a report holds is escaped: a model may be called anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from typing import Final

from gateway.lab import LabError
from gateway.lab.report.document import Report
from gateway.lab.report.figures import encode, figures_of
from gateway.lab.report.plot import Figure
from gateway.lab.report.reading import answers, milliseconds, points_of, rate, response_of
from gateway.lab.report.tables import (
    Table,
    conditions_table,
    environment_of,
    method_of,
    points_table,
    processes_table,
    ratios_table,
)

_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
# These need the whole width.
_WIDE: Final = frozenset({"load", "sweep", "timeline", "front"})


def html(report: Report) -> str:
    """The file; LabError where plotly is missing."""
    figures = figures_of(report)
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(_title(report))}</title>",
        f"<style>{_own('report.css')}</style>",
        "</head>",
        "<body>",
        "<main>",
        *_header(report),
        *_tiles(report),
        '<div class="charts">',
        *(_figure(one) for one in figures),
        "</div>",
        *_sections(report),
        (
            f"<footer>Made by infergate {escape(report.version)}. Times are from the intended send "
            "unless they say otherwise.</footer>"
        ),
        "</main>",
        f'<script type="application/json" id="figures">{encode(figures).decode()}</script>',
        f"<script>{_plotly()}</script>",
        f"<script>{_own('report.js')}</script>",
        "</body>",
        "</html>",
        "",
    ]
    return "\n".join(parts)


def _own(name: str) -> str:
    return (files("gateway.lab.report") / name).read_text(encoding="utf-8")


def _plotly() -> str:
    try:
        script = files("plotly") / "package_data" / "plotly.min.js"
    except ModuleNotFoundError:
        raise LabError(
            "a report as HTML needs the extra lab: pip install 'infergate[lab]'"
        ) from None
    # Within a script element nothing else could end it.
    return script.read_text(encoding="utf-8").replace("</script", "<\\/script")


def _title(report: Report) -> str:
    model = report.runs[0].plan.model if report.runs else ""
    return f"{model}: {report.kind}" if model else report.name or report.kind


def _header(report: Report) -> Iterator[str]:
    valid = report.verdict == "VALID"
    yield "<header>"
    yield (
        f"<h1>{escape(_title(report))} "
        f'<span class="verdict {"valid" if valid else "invalid"}">{report.verdict}</span></h1>'
    )
    where = report.runs[0].plan.url if report.runs else ""
    words = " · ".join(
        one for one in (report.when if report.made else "", where, report.name) if one
    )
    yield f'<p class="when">{escape(words)}</p>'
    yield '<ul class="answers">'
    for reason in report.reasons:
        yield f'<li class="no first">INVALID: {escape(reason)}</li>'
    for number, (good, sentence) in enumerate(answers(report)):
        kinds = ["yes"] if good else ["no"] if good is False else []
        kinds += ["first"] if not number else []
        yield f'<li class="{" ".join(kinds)}">{escape(_sentence(sentence))}</li>'
    yield "</ul>"
    yield "</header>"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _tiles(report: Report) -> Iterator[str]:
    tiles: list[tuple[str, str]] = []
    if report.limit is not None and report.limit.rate:
        tiles.append((f"{rate(report.limit.rate)}/s", "limit"))
        low, high = report.limit.operating
        tiles.append((f"{rate(low)}\u2013{rate(high)}/s", "to plan with"))
    response = response_of(report)
    if len(response):
        point = points_of(report)
        runs = [one for one in point if one.name == "run"]
        tiles.append((f"{rate(sum(one.throughput for one in runs) / len(runs))}/s", "throughput"))
        tiles += [
            (f"{milliseconds(response.percentile(q))} ms", name)
            for name, q in (("p50", 50), ("p99", 99), ("p99.9", 99.9))
        ]
        tiles.append((f"{milliseconds(response.maximum)} ms", "maximum"))
        errors = sum(one.errors * one.requests for one in runs)
        requests = sum(one.requests for one in runs)
        tiles.append((f"{errors / requests * 100 if requests else 0:.3g} %", "errors"))
    if tiles:
        yield '<div class="tiles">'
        for value, name in tiles:
            yield f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        yield "</div>"


def _figure(figure: Figure) -> str:
    wide = ' class="wide"' if figure.id in _WIDE else ""
    return (
        f"<figure{wide}><h2>{escape(figure.title)}</h2>"
        f"<figcaption>{escape(figure.caption)}</figcaption>"
        f'<div class="plot" id="plot-{figure.id}" role="img" aria-label="{escape(figure.title)}" '
        f'style="min-height:{figure.height}px"></div></figure>'
    )


def _sections(report: Report) -> Iterator[str]:
    tables = [
        points_table(report), conditions_table(report), ratios_table(report),
        processes_table(report),
    ]  # fmt: skip
    for table in tables:
        if table is not None and table.rows:
            yield from _table(table)
    for title, pairs in (("Method", method_of(report)), ("Environment", environment_of(report))):
        if pairs:
            yield f"<section><h2>{title}</h2><dl>"
            yield from (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
            yield "</dl></section>"


def _table(table: Table) -> Iterator[str]:
    words = {place for place, name in enumerate(table.heads) if name in table.texts}
    yield f"<section><h2>{escape(table.title)}</h2>"
    yield '<div class="scroll"><table><thead><tr>'
    yield _cells("th", table.heads, words)
    yield "</tr></thead><tbody>"
    for row in table.rows:
        yield f"<tr>{_cells('td', row, words)}</tr>"
    yield "</tbody></table></div></section>"


def _cells(tag: str, cells: Sequence[str], words: set[int]) -> str:
    return "".join(
        f"<{tag}{' class=words' if place in words else ''}>{escape(cell)}</{tag}>"
        for place, cell in enumerate(cells)
    )
