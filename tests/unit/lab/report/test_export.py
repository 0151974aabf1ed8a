# SPDX-License-Identifier: Apache-2.0
"""Reports for other programs."""

from __future__ import annotations

import csv
import io
from math import ceil

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from gateway.lab.load.histogram import Histogram
from gateway.lab.report.document import Report
from gateway.lab.report.export import csv_text, hgrm, markdown
from tests.support.reports import loaded, whole

PERF_ANALYZER = (
    "Concurrency,Request Rate,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,"
    "Server Compute Input,Server Compute Infer,Server Compute Output,Client Recv,p50 latency,"
    "p90 latency,p95 latency,p99 latency"
)


async def test_csv_has_the_columns_of_perf_analyzer() -> None:
    """In microseconds, by falling throughput."""
    report = await whole()
    text = csv_text(report)
    assert text.startswith(PERF_ANALYZER + ",Setting,")
    rows = list(csv.DictReader(io.StringIO(text)))
    throughputs = [float(row["Inferences/Second"]) for row in rows]
    assert throughputs == sorted(throughputs, reverse=True)
    (run,) = (row for row in rows if row["Setting"] == "run")
    assert float(run["p99 latency"]) == pytest.approx(report.runs[0].percentile(99) * 1e6, abs=1)
    assert run["Server Queue"] == "1100"
    assert run["Server Compute Infer"] == "700"
    assert run["Concurrency"] == ""
    swept = [row["Concurrency"] for row in rows if row["Setting"] == "concurrency"]
    assert sorted(swept, key=int) == ["1", "2", "4", "8", "16", "32"]
    assert {row["Request Rate"] for row in rows if row["Setting"] == "rate"} >= {"850", "1275"}


def test_hgrm_is_that_of_hdrhistogram() -> None:
    """Its own reading of each percentile is the same value, to a rank."""
    nanoseconds = np.random.default_rng(4).exponential(2e6, 20_000).astype(np.int64)
    histogram = Histogram()
    histogram.record(nanoseconds)
    theirs = HdrHistogram(1, 3_600_000_000_000, 3)
    for value in nanoseconds.tolist():
        theirs.record_value(value)
    lines = [line.split() for line in hgrm(histogram).splitlines()[2:-3]]
    assert len(lines) > 60
    for value, share, rank, *inverse in lines:
        # A rank more or less is far from the next at the end of the tail.
        ends = [
            theirs.get_value_at_percentile(min(100, max(0, float(share) + shift) * 100)) / 1e6
            for shift in (-1.01 / 20_000, 1.01 / 20_000)
        ]
        assert ends[0] * 0.998 - 0.001 <= float(value) <= ends[1] * 1.002 + 0.001
        assert int(rank) == max(1, ceil(round(float(share) * 20_000, 6)))
        if inverse:
            assert float(inverse[0]) == pytest.approx(1 / (1 - float(share)), rel=1e-2)
    last = hgrm(histogram).splitlines()
    assert [line[:9] for line in last[-3:]] == ["#[Mean   ", "#[Max    ", "#[Buckets"]
    assert f"Total count    = {20_000:12d}]" in last[-2]


def test_hgrm_of_nothing_has_no_lines() -> None:
    """Its header and its summary alone."""
    assert len(hgrm(Histogram()).splitlines()) == 5


async def test_markdown_is_a_table() -> None:
    """With a mark on what is not valid."""
    run = await loaded(seconds=5)
    run.valid = False
    lines = markdown(Report(runs=[run])).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    assert lines[2].startswith("| run 1 (INVALID) | 7")
