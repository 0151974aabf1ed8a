# SPDX-License-Identifier: Apache-2.0
"""A page of metrics, read twice."""

from __future__ import annotations

import pytest

from gateway.lab.account.metrics import Metrics

PAGE = """\
# TYPE infergate_shed_total counter
infergate_shed_total{{model="m",reason="queue_full"}} {shed}
infergate_shed_total{{model="other",reason="queue_full"}} 7
# TYPE infergate_pending gauge
infergate_pending{{endpoint="a"}} {pending}
# TYPE infergate_batch_rows histogram
infergate_batch_rows_bucket{{model="m",le="1"}} {batches}
infergate_batch_rows_bucket{{model="m",le="+Inf"}} {batches}
infergate_batch_rows_sum{{model="m"}} {rows}
infergate_batch_rows_count{{model="m"}} {batches}
"""


def _page(**values: int) -> Metrics:
    return Metrics.parse(PAGE.format(**values))


def test_counters_grow_and_gauges_are_as_they_are() -> None:
    """By the two readings."""
    grown = _page(shed=12, pending=3, batches=30, rows=90).since(
        _page(shed=2, pending=5, batches=10, rows=10)
    )
    assert grown.total("infergate_shed_total", model="m") == 10
    assert grown.total("infergate_shed_total") == 10
    assert grown.total("infergate_pending") == 3
    assert grown.mean("infergate_batch_rows", model="m") == 4
    assert grown.by("infergate_shed_total", "reason", model="m") == {"queue_full": 10}


def test_a_process_that_began_anew_counts_from_zero() -> None:
    """A counter that fell is all new."""
    grown = _page(shed=4, pending=0, batches=1, rows=1).since(
        _page(shed=9, pending=0, batches=1, rows=1)
    )
    assert grown.total("infergate_shed_total", model="m") == 4


def test_what_is_not_there_is_nothing() -> None:
    """A name that no page has."""
    page = _page(shed=1, pending=0, batches=0, rows=0)
    assert page.total("nothing") == 0
    assert page.mean("infergate_batch_rows") is None


def test_refuses_what_is_no_page_of_metrics() -> None:
    """A page of another kind."""
    with pytest.raises(ValueError, match="html"):
        Metrics.parse("<html>")
