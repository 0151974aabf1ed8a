# SPDX-License-Identifier: Apache-2.0
"""Loads: charts over several settings, of searches, sweeps and comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log10
from typing import Any, Final

from gateway.lab.report.document import Report
from gateway.lab.report.plot import Figure, axis, line, plain
from gateway.lab.search.against import Comparison
from gateway.lab.search.limit import Limit
from gateway.lab.search.point import Point

_OUTCOMES: Final = {
    "pass": ("--teal", "circle", "keeps the SLO"),
    "fail": ("--red", "x", "breaks it"),
    "undecided": ("--orange", "circle-open", "not decided"),
    "invalid": ("--grey", "diamond-open", "generator too slow"),
}
_PERCENTILES: Final = (("p99", "--orange"), ("p90", "--violet"), ("p50", "--blue"))


def load_figures(report: Report) -> Iterator[Figure]:
    """Those of what *report* has."""
    if report.limit is not None and report.limit.probes:
        yield _limit(report.limit)
    if report.sweep is not None and report.sweep.points:
        yield _sweep(report.sweep.name, report.sweep.points)
    if report.comparison is not None:
        yield _comparison(report.comparison)


def _lines(points: Sequence[Point], x: Sequence[float]) -> tuple[list[Any], list[Any]]:
    """Percentiles of *points* over *x*, each named at its end."""
    traces, notes = [], []
    times = [max(getattr(one, name), 1e-9) for one in points for name, _ in _PERCENTILES]
    # Labels keep a line's height apart, on a chart of this many decades.
    last, apart = -10.0, 0.07 * max(0.5, log10(max(times) / min(times)))
    for name, colour in reversed(_PERCENTILES):
        y = [getattr(one, name) * 1e3 for one in points]
        traces.append(line(x, y, colour=colour, name=name, hover=f"{name} %{{y:.3g}} ms"))
        end = max(log10(max(y[-1], 1e-6)), last + apart)
        last = end
        notes.append(
            {"x": x[-1], "y": end, "text": name, "showarrow": False, "xanchor": "left",
             "xshift": 8, "font": {"color": colour}}
        )  # fmt: skip
    return traces, notes


def _limit(limit: Limit) -> Figure:
    probes = sorted(limit.probes, key=lambda one: one.rate)
    rates = [one.rate for one in probes]
    traces, notes = _lines([one.point for one in probes], rates)
    for outcome, (colour, symbol, words) in _OUTCOMES.items():
        those = [one for one in probes if one.outcome == outcome]
        if those:
            traces.append(
                {
                    "type": "scatter", "mode": "markers", "name": words,
                    "x": [one.rate for one in those],
                    "y": [one.point.p99 * 1e3 for one in those],
                    "marker": {"color": colour, "symbol": symbol, "size": 9,
                               "line": {"color": colour, "width": 2}},
                    "hovertemplate": f"%{{x:,.0f}}/s {words}<extra></extra>",
                }
            )  # fmt: skip
    shapes: list[dict[str, Any]] = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": bound.seconds * 1e3,
         "y1": bound.seconds * 1e3, "line": {"color": "--red", "width": 1, "dash": "dash"}}
        for bound in limit.slo.bounds
    ]  # fmt: skip
    notes += [
        {"xref": "paper", "x": 0, "y": log10(bound.seconds * 1e3), "text": plain(str(bound)),
         "showarrow": False, "xanchor": "left", "yanchor": "bottom", "font": {"color": "--red"}}
        for bound in limit.slo.bounds
    ]  # fmt: skip
    if limit.rate:
        shapes.append(
            {"type": "line", "yref": "paper", "x0": limit.rate, "x1": limit.rate, "y0": 0, "y1": 1,
             "line": {"color": "--teal", "width": 1.5}}
        )  # fmt: skip
        low, high = limit.operating
        shapes.append(
            {"type": "rect", "yref": "paper", "x0": low, "x1": high, "y0": 0, "y1": 1,
             "fillcolor": "--band", "line": {"width": 0}, "layer": "below"}
        )  # fmt: skip
        notes.append(
            {"x": limit.rate, "yref": "paper", "y": 1, "text": f"limit {limit.rate:,.0f}/s",
             "showarrow": False, "xanchor": "right", "yanchor": "top", "xshift": -4,
             "font": {"color": "--teal"}}
        )  # fmt: skip
    used = [outcome for outcome in _OUTCOMES if any(one.outcome == outcome for one in probes)]
    words = ", ".join(f"{_mark(outcome)} {_OUTCOMES[outcome][2]}" for outcome in used)
    return Figure(
        id="load",
        title="Latency against load",
        caption=f"Each mark is a probe: {words}. The band is the rate to plan with.",
        height=360,
        data=traces,
        layout={
            "xaxis": axis("requests offered/s", rangemode="tozero"),
            "yaxis": axis("ms", type="log"),
            "annotations": notes,
            "shapes": shapes,
        },
    )


def _mark(outcome: str) -> str:
    return {"pass": "●", "fail": "✕", "undecided": "○", "invalid": "◇"}[outcome]


def _sweep(name: str, points: Sequence[Point]) -> Figure:
    ordered = sorted(points, key=lambda one: one.value)
    rates = [one.answered for one in ordered]
    traces, notes = [], []
    for percentile, colour in _PERCENTILES:
        y = [getattr(one, percentile) * 1e3 for one in ordered]
        traces.append(
            line(rates, y, colour=colour, name=percentile,
                 hover=f"{percentile} %{{y:.3g}} ms at %{{x:,.0f}}/s")
            | {"mode": "lines+markers"}
        )  # fmt: skip
        notes.append(
            {"x": rates[-1], "y": log10(max(y[-1], 1e-6)), "text": percentile, "showarrow": False,
             "xanchor": "left", "xshift": 8, "font": {"color": colour}}
        )  # fmt: skip
    traces.append(
        {
            "type": "scatter", "mode": "text", "x": rates,
            "y": [one.p50 * 1e3 for one in ordered], "text": [f"{one.value:g}" for one in ordered],
            "textposition": "bottom center", "textfont": {"color": "--muted"},
            "hoverinfo": "skip",
        }
    )  # fmt: skip
    return Figure(
        id="sweep",
        title="Throughput against latency",
        caption=f"Each point is a run; the number below is its {plain(name)}.",
        height=360,
        data=traces,
        layout={
            "xaxis": axis("answers/s", rangemode="tozero"),
            "yaxis": axis("ms", type="log"),
            "annotations": notes,
        },
    )


def _comparison(comparison: Comparison) -> Figure:
    ordered = list(reversed(comparison.ratios))
    colours = {"better": "--teal", "worse": "--red"}
    finite = [one for one in ordered if one.upper < 1e6]
    return Figure(
        id="ratios",
        title="Ratio of the two",
        caption=f"{comparison.other} over {comparison.first}, with the interval at "
        f"{comparison.level * 100:g} % over {len(comparison.rounds)} rounds; "
        "1 is no difference.",
        height=120 + 44 * len(ordered),
        data=[
            {
                "type": "scatter", "mode": "markers+text",
                "x": [one.ratio for one in finite], "y": [one.figure for one in finite],
                "text": [f"\u00d7 {one.ratio:.3f}" for one in finite],
                "textposition": "top center", "textfont": {"color": "--text"},
                "error_x": {
                    "type": "data", "symmetric": False, "thickness": 2, "width": 6,
                    "color": "--muted",
                    "array": [one.upper - one.ratio for one in finite],
                    "arrayminus": [one.ratio - one.lower for one in finite],
                },
                "marker": {
                    "size": 11, "color": [colours.get(one.says, "--grey") for one in finite],
                },
                "hovertemplate": [f"{one.says}<extra></extra>" for one in finite],
            }
        ],
        layout={
            "xaxis": axis("ratio"),
            "yaxis": axis("", showgrid=False, range=[-0.6, len(ordered) - 0.3]),
            "shapes": [{"type": "line", "yref": "paper", "x0": 1, "x1": 1, "y0": 0, "y1": 1,
                        "line": {"color": "--muted", "width": 1, "dash": "dot"}}],
            "margin": {"l": 92, "r": 24, "t": 8, "b": 44},
        },
    )  # fmt: skip
