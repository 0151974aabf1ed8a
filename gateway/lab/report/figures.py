# SPDX-License-Identifier: Apache-2.0
"""Figures: the charts of a report, as plain data for plotly.

A colour is the name of a property of the page's style sheet, such as "--blue", so that charts
follow the page into dark and onto paper. Lines are named at their ends rather than in a legend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isfinite, log10
from typing import Any, Final

import msgspec

from gateway.lab.load.histogram import Histogram
from gateway.lab.report.document import Report
from gateway.lab.report.fronts import front_figure
from gateway.lab.report.intervals import percentile_interval
from gateway.lab.report.loads import load_figures
from gateway.lab.report.plot import Figure, axis, line, plain
from gateway.lab.report.reading import response_of, service_of

# Bars of the histogram: as many as can be told apart on a phone.
_BARS: Final = 60
# Percentiles of the curve are this dense, in points for each factor of ten of what is beyond.
_DENSE: Final = 24
_COLOURS: Final = {
    "client": "--grey", "network": "--violet", "gateway": "--blue", "cache": "--teal",
    "preprocess": "--olive", "queue": "--orange", "transport": "--violet-2", "input": "--olive",
    "inference": "--red", "output": "--teal", "postprocess": "--olive", "server": "--red",
}  # fmt: skip


def figures_of(report: Report) -> list[Figure]:
    """Those for which *report* has something to show."""
    return list(_figures(report))


def _figures(report: Report) -> Iterator[Figure]:
    yield from load_figures(report)
    response = response_of(report)
    if len(response):
        yield _percentiles(report, response)
        yield _histogram(response)
    if report.runs and report.runs[-1].timeline:
        yield _timeline(report)
    if report.account is not None and report.account.spans:
        yield _breakdown(report)
    if report.front is not None:
        yield front_figure(report.front)


def _curve(histogram: Histogram) -> tuple[list[float], list[float]]:
    """1 / (1 - q) and milliseconds at q, from the median as far as the values go."""
    inverse, times = [], []
    value = 1.0
    while value <= len(histogram):
        inverse.append(value)
        times.append(histogram.percentile(100 * (1 - 1 / value)) * 1e3)
        value *= 10 ** (1 / _DENSE)
    return inverse, times


def _percentiles(report: Report, response: Histogram) -> Figure:
    traces, notes = [], []
    series = [("response", response, "--blue")]
    service = service_of(report)
    if report.runs[0].plan.is_open and service != response:
        series.append(("service", service, "--grey"))
    for name, histogram, colour in series:
        x, y = _curve(histogram)
        if x:
            traces.append(line(x, y, colour=colour, name=name, hover="%{y:.3g} ms"))
            notes.append(_end(name, x[-1], y[-1], colour, log_x=True))
    traces += _ends_of(report, response)
    bounds = [] if report.held is None else report.held.slo.bounds
    marks = [
        {
            "type": "scatter", "mode": "markers", "x": [1 / (1 - bound.share)],
            "y": [bound.seconds * 1e3],
            "marker": {"symbol": "line-ew", "size": 22, "line": {"width": 3, "color": "--red"}},
            "hovertemplate": f"{plain(str(bound))}<extra></extra>",
        }
        for bound in bounds
    ]  # fmt: skip
    ticks = {2: "50", 10: "90", 100: "99", 1000: "99.9", 10_000: "99.99", 100_000: "99.999",
             1_000_000: "99.9999"}  # fmt: skip
    shown = [value for value in ticks if value <= len(response)]
    return Figure(
        id="percentiles",
        title="Response time by percentile",
        caption="Response time counts from the moment a request was meant to be sent, service time "
        "from when it was: the gap is what the generator's clients would have waited besides."
        " Bars: 95 % intervals." * (len(report.runs) == 1) + (" Red: the SLO." if bounds else ""),
        data=[*traces, *marks],
        layout={
            "xaxis": axis(
                "percentile, %",
                type="log",
                tickvals=shown,
                ticktext=[ticks[one] for one in shown],
                tickangle=0,
            ),
            "yaxis": axis("ms", type="log"),
            "annotations": _apart(notes),
        },
    )


def _ends_of(report: Report, response: Histogram) -> list[dict[str, Any]]:
    """Intervals at the usual percentiles, of a single run: where those of several lie is seen."""
    if len(report.runs) != 1:
        return []
    found = [
        (1 / (1 - q / 100), response.percentile(q), *percentile_interval(report.runs[0], q))
        for q in (50, 90, 99, 99.9)
    ]
    kept = [one for one in found if isfinite(one[3])]
    return [
        {
            "type": "scatter", "mode": "markers", "x": [x for x, *_ in kept],
            "y": [value * 1e3 for _, value, *_ in kept],
            "marker": {"color": "--blue", "size": 5},
            "error_y": {
                "type": "data", "symmetric": False, "thickness": 1.5, "width": 4,
                "color": "--blue",
                "array": [max(0.0, high - value) * 1e3 for _, value, _, high in kept],
                "arrayminus": [max(0.0, value - low) * 1e3 for _, value, low, _ in kept],
            },
            "hovertemplate": [
                f"{low * 1e3:.3g} to {high * 1e3:.3g} ms at 95 %<extra></extra>"
                for _, _, low, high in kept
            ],
        }
    ]  # fmt: skip


def _end(name: str, x: float, y: float, colour: str, *, log_x: bool = False) -> dict[str, Any]:
    """A label to the right of the end of a line, on a logarithmic y."""
    return {
        "x": log10(x) if log_x else x, "y": log10(max(y, 1e-6)), "text": plain(name),
        "showarrow": False, "xanchor": "left", "xshift": 6, "font": {"color": colour},
    }  # fmt: skip


def _apart(notes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """*notes* so that no label lies on another one: those too near are moved up and down."""
    ordered = sorted(notes, key=lambda note: float(note["y"]))
    for below, above in pairwise(ordered):
        if above["y"] - below["y"] < 0.08:
            below["yshift"] = below.get("yshift", 0) - 8
            above["yshift"] = 8
    return list(ordered)


def _timeline(report: Report) -> Figure:
    """The last run: the others were at the same setting."""
    seconds = report.runs[-1].timeline
    at = [one.second for one in seconds]
    p99 = [one.p99 * 1e3 for one in seconds]
    p50 = [one.p50 * 1e3 for one in seconds]
    traces = [
        line(at, p99, colour="--orange", name="p99", hover="p99 %{y:.3g} ms"),
        line(at, p50, colour="--blue", name="p50", hover="p50 %{y:.3g} ms"),
    ]
    notes = _apart(
        [_end("p99", at[-1], p99[-1], "--orange"), _end("p50", at[-1], p50[-1], "--blue")]
    )
    rates = {
        "offered": ([one.offered for one in seconds], "--grey"),
        "answered": ([one.answered for one in seconds], "--teal"),
    }
    if any(one.errors for one in seconds):
        rates["errors"] = ([one.errors for one in seconds], "--red")
    for name, (values, colour) in rates.items():
        traces.append(
            line(at, values, colour=colour, name=name, hover=f"{name} %{{y}}/s") | {"yaxis": "y2"}
        )
    legend = "   ".join(
        f'<span style="color:{colour}">{name}</span>' for name, (_, colour) in rates.items()
    )
    notes.append(
        {"xref": "paper", "yref": "paper", "x": 0, "y": 0.37, "xanchor": "left",
         "yanchor": "bottom", "showarrow": False, "text": legend}
    )  # fmt: skip
    return Figure(
        id="timeline",
        title="Over time",
        caption="Each second of the run: percentiles above, requests a second below.",
        height=400,
        data=traces,
        layout={
            "xaxis": axis("s", anchor="y2"),
            "yaxis": axis("ms", type="log", domain=[0.47, 1]),
            "yaxis2": axis("requests/s", domain=[0, 0.35], rangemode="tozero"),
            "annotations": notes,
        },
    )


def _histogram(response: Histogram) -> Figure:
    """Bars of equal width on a logarithmic scale, by the bins of the histogram."""
    bins = [(max(value * 1e3, 1e-6), count) for value, count in response.bins()]
    low, high = bins[0][0], bins[-1][0]
    step = max((high / low) ** (1 / _BARS), 1.002)
    bars: dict[int, int] = {}
    place, edge = 0, low * step
    for value, count in bins:
        while value > edge * (1 + 1e-12) and place < _BARS - 1:
            place += 1
            edge *= step
        bars[place] = bars.get(place, 0) + count
    total = len(response)
    x = [low * step ** (each + 0.5) for each in bars]
    marks = [("p50", 50), ("p99", 99)]
    notes, shapes = [], []
    for name, q in marks:
        value = response.percentile(q) * 1e3
        shapes.append(
            {"type": "line", "xref": "x", "yref": "paper", "x0": value, "x1": value, "y0": 0,
             "y1": 1, "line": {"color": "--muted", "width": 1, "dash": "dot"}}
        )  # fmt: skip
        note = _end(f"{name} {value:.3g} ms", value, 1, "--muted", log_x=True)
        notes.append(note | {"yref": "paper", "y": 1, "yanchor": "top", "xshift": 4})
    if notes[1]["x"] - notes[0]["x"] < 0.25:
        notes[1] |= {"yshift": -16}
    return Figure(
        id="histogram",
        title="How response times spread",
        caption=f"The share of {total:,} answers by their response time, on a logarithmic scale.",
        data=[
            {
                "type": "bar", "x": x, "y": [100 * count / total for count in bars.values()],
                "width": [value * (step - 1) for value in x],
                "marker": {"color": "--blue", "line": {"width": 0}},
                "hovertemplate": "%{x:.3g} ms: %{y:.2f} %<extra></extra>",
            }
        ],
        layout={
            "xaxis": axis("ms", type="log"), "yaxis": axis("% of answers", rangemode="tozero"),
            "annotations": notes, "shapes": shapes, "bargap": 0,
        },
    )  # fmt: skip


def _breakdown(report: Report) -> Figure:
    spans = [] if report.account is None else report.account.spans
    ordered = list(reversed(spans))
    longest = max(span.seconds for span in spans) * 1e3
    return Figure(
        id="breakdown",
        title="Where the time goes",
        caption="The mean response, split by who spent it.",
        height=90 + 34 * len(spans),
        data=[
            {
                "type": "bar", "orientation": "h",
                "x": [span.seconds * 1e3 for span in ordered],
                "y": [span.name for span in ordered],
                "text": [
                    f"{span.seconds * 1e3:.3g} ms, {span.share * 100:.0f} %" for span in ordered
                ],
                "textposition": "outside", "cliponaxis": False,
                "textfont": {"color": "--text"},
                "marker": {"color": [_COLOURS[span.name] for span in ordered]},
                "hovertemplate": [f"{span.source}<extra></extra>" for span in ordered],
            }
        ],
        layout={
            # Room for the labels beyond the longest bar.
            "xaxis": axis("ms", range=[0, longest * 1.45]),
            "yaxis": axis("", showgrid=False),
            "margin": {"l": 92, "r": 12, "t": 8, "b": 44},
        },
    )  # fmt: skip


def encode(figures: Sequence[Figure]) -> bytes:
    """JSON for the page's script, with nothing in it that could end a script element."""
    data = msgspec.json.encode(list(figures))
    return data.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")
