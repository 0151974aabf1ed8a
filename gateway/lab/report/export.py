# SPDX-License-Identifier: Apache-2.0
"""Export: reports as CSV, as HdrHistogram's text, and as a Markdown table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from math import ceil
from typing import Final

from gateway.lab.load.histogram import Histogram
from gateway.lab.report.document import Report
from gateway.lab.report.reading import points_of
from gateway.lab.search.point import Point

# The columns of perf_analyzer's CSV, in its order and in its unit, microseconds; then our own.
_COLUMNS: Final = (
    "Concurrency", "Request Rate", "Inferences/Second", "Client Send",
    "Network+Server Send/Recv", "Server Queue", "Server Compute Input", "Server Compute Infer",
    "Server Compute Output", "Client Recv", "p50 latency", "p90 latency", "p95 latency",
    "p99 latency",
)  # fmt: skip
_OWN: Final = (
    "Setting", "Value", "Offered/Second", "Goodput/Second", "p99.9 latency", "Max latency",
    "Errors", "Requests", "Seconds", "Valid",
)  # fmt: skip
# Percentile steps to a half of what is left, in HdrHistogram's own output.
_TICKS: Final = 5


def csv_text(report: Report) -> str:
    """A row for each point, sorted by throughput; what a run does not say is left empty.

    perf_analyzer's spans are filled for the run that was accounted for: "Client Send" is the wait
    in the generator, "Client Recv" is part of the network, which no client can tell apart.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, [*_COLUMNS, *_OWN], restval="", lineterminator="\n")
    writer.writeheader()
    for one in sorted(points_of(report), key=lambda point: -point.throughput):
        writer.writerow(_row(one, report))
    return out.getvalue()


def _row(one: Point, report: Report) -> dict[str, str]:
    def micro(seconds: float) -> str:
        return f"{seconds * 1e6:.0f}"

    row = {
        "Inferences/Second": f"{one.rows:.2f}",
        "p50 latency": micro(one.p50),
        "p90 latency": micro(one.p90),
        "p95 latency": micro(one.p95),
        "p99 latency": micro(one.p99),
        "Setting": one.name,
        "Value": f"{one.value:g}",
        "Offered/Second": f"{one.offered:.2f}",
        "Goodput/Second": f"{one.goodput:.2f}",
        "p99.9 latency": micro(one.p999),
        "Max latency": micro(one.maximum),
        "Errors": f"{one.errors:.6f}",
        "Requests": str(one.requests),
        "Seconds": f"{one.seconds:.2f}",
        "Valid": "yes" if one.valid else "no",
    }
    if one.name == "concurrency":
        row["Concurrency"] = f"{one.value:g}"
    elif one.name == "rate":
        row["Request Rate"] = f"{one.value:g}"
    if report.account is not None and len(report.runs) == 1 and one.name == "run":
        spans = {span.name: span.seconds for span in report.account.spans}
        names = {
            "Client Send": ("client",),
            "Network+Server Send/Recv": ("network", "gateway", "cache", "transport"),
            "Server Queue": ("queue",),
            "Server Compute Input": ("preprocess", "input"),
            "Server Compute Infer": ("inference", "server"),
            "Server Compute Output": ("output", "postprocess"),
        }
        for column, parts in names.items():
            row[column] = micro(sum(spans.get(part, 0.0) for part in parts))
    return row


def hgrm(histogram: Histogram) -> str:
    """The percentile distribution in milliseconds, as HdrHistogram's plotter reads it."""
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}\n"]
    for share in _shares(len(histogram)):
        rank = max(1, ceil(round(share * len(histogram), 9)))
        value = histogram.value_at(rank) * 1e3
        # The last line has no inverse, as in HdrHistogram's own output.
        inverse = f" {1 / (1 - share):14.2f}" if share < 1 else ""
        lines.append(f"{value:12.3f} {share:14.12f} {rank:10d}{inverse}")
    deviation = _deviation(histogram) * 1e3
    lines += [
        f"#[Mean    = {histogram.mean * 1e3:12.3f}, StdDeviation   = {deviation:12.3f}]",
        f"#[Max     = {histogram.maximum * 1e3:12.3f}, Total count    = {len(histogram):12d}]",
        f"#[Buckets = {len(list(histogram.bins())):12d}, SubBuckets     = {2048:12d}]",
    ]
    return "\n".join(lines) + "\n"


def _shares(count: int) -> Iterator[float]:
    """0, then five steps to each halving of the rest, until a step is less than one value."""
    if not count:
        return
    share, rest = 0.0, 1.0
    while rest * count >= 1:
        for tick in range(_TICKS):
            yield share + rest / 2 * tick / _TICKS
        share += rest / 2
        rest /= 2
    yield 1.0


def _deviation(histogram: Histogram) -> float:
    mean, count = histogram.mean, len(histogram)
    squares = sum((value - mean) ** 2 * times for value, times in histogram.bins())
    return float((squares / count) ** 0.5) if count else 0.0


def markdown(report: Report) -> str:
    """A table of the points, for a pull request or a page."""
    rows = [
        "| | offered/s | answered/s | goodput/s | p50 ms | p90 ms | p99 ms | max ms | errors |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in points_of(report):
        times = " | ".join(f"{x * 1e3:.2f}" for x in (one.p50, one.p90, one.p99, one.maximum))
        mark = "" if one.valid else " (INVALID)"
        rows.append(
            f"| {one.name} {one.value:g}{mark} | {one.offered:.0f} | {one.answered:.0f} | "
            f"{one.goodput:.0f} | {times} | {one.errors * 100:.3g} % |"
        )
    return "\n".join(rows) + "\n"
