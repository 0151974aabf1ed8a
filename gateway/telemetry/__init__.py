# SPDX-License-Identifier: Apache-2.0
"""Metrics: plain additions on the request path, Prometheus objects only at scrape time."""

from gateway.telemetry.board import Board
from gateway.telemetry.cells import Family, GaugeCell, HistogramCell, SumCell
from gateway.telemetry.families import Telemetry
from gateway.telemetry.process import report_process, sample_loop_lag
from gateway.telemetry.snapshot import CONTENT_TYPE, Snapshot, merge, render

__all__ = [
    "CONTENT_TYPE",
    "Board",
    "Family",
    "GaugeCell",
    "HistogramCell",
    "Snapshot",
    "SumCell",
    "Telemetry",
    "merge",
    "render",
    "report_process",
    "sample_loop_lag",
]
