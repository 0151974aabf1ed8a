# SPDX-License-Identifier: Apache-2.0
"""Fronts: the chart of settings that a search has tried."""

from __future__ import annotations

from typing import Any

from gateway.lab.report.front import Candidate, Front
from gateway.lab.report.plot import Figure, axis, plain


def front_figure(front: Front) -> Figure:
    """99th percentile against throughput; the line joins those that nothing beats."""
    best = sorted(front.best, key=lambda one: one.throughput)
    rest = [one for one in front.candidates if one not in best and not one.refused]
    refused = [one for one in front.candidates if one.refused]
    traces = [
        _marks(refused, "--red", "x", size=8),
        _marks(rest, "--grey", "circle-open", size=8),
        {
            "type": "scatter", "mode": "lines", "hoverinfo": "skip",
            "x": [one.throughput for one in best], "y": [one.p99 * 1e3 for one in best],
            "line": {"color": "--blue", "width": 1.5, "dash": "dot"},
        },
        _marks(best, "--blue", "circle", size=11),
    ]  # fmt: skip
    notes: list[dict[str, Any]] = [
        {"x": one.throughput, "y": one.p99 * 1e3, "text": words, "showarrow": True, "ax": 0,
         "ay": shift, "arrowcolor": "--muted", "font": {"color": "--text"}}
        for one in front.candidates
        for words, shift in [
            (f"chosen: {plain(one.label)}", -34) if one.is_chosen
            else ("before", 34) if one.is_default else ("", 0)
        ]
        if words
    ]  # fmt: skip
    shapes = []
    if front.p99_bound is not None:
        bound = front.p99_bound * 1e3
        shapes.append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": bound, "y1": bound,
                       "line": {"color": "--red", "width": 1, "dash": "dash"}})  # fmt: skip
    return Figure(
        id="front",
        title="What the settings give",
        caption="Filled: nothing tried beats it in throughput, p99, memory and accuracy together. "
        "✕: refused by the accuracy gate." + (" Dashed: the SLO." if shapes else ""),
        height=380,
        data=[trace for trace in traces if trace["x"]],
        layout={
            "xaxis": axis("answers/s", rangemode="tozero"),
            "yaxis": axis("p99, ms", rangemode="tozero"),
            "annotations": notes,
            "shapes": shapes,
        },
    )


def _marks(those: list[Candidate], colour: str, symbol: str, *, size: int) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers",
        "x": [one.throughput for one in those], "y": [one.p99 * 1e3 for one in those],
        "text": [_words(one) for one in those],
        "marker": {"color": colour, "symbol": symbol, "size": size,
                   "line": {"color": colour, "width": 2}},
        "hovertemplate": "%{text}<br>%{x:,.0f}/s, p99 %{y:.3g} ms<extra></extra>",
    }  # fmt: skip


def _words(one: Candidate) -> str:
    parts = [one.label]
    if one.accuracy is not None:
        parts.append(f"accuracy {one.accuracy * 100:.2f} %")
    if one.memory is not None:
        parts.append(f"{one.memory / 2**20:.0f} MiB")
    if one.refused:
        parts.append(f"refused: {one.refused}")
    return plain(", ".join(parts))
