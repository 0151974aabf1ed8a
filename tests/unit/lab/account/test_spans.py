# SPDX-License-Identifier: Apache-2.0
"""The mean time of a request, split."""

from __future__ import annotations

import pytest

from gateway.lab.account.metrics import Metrics
from gateway.lab.account.spans import MEANING, Span, spans
from gateway.lab.load.run import Run, Timing
from tests.support.runs import run_of

# 100 requests of 10 ms, of which the server says 8.
TOTAL = 0.008
UPSTREAM = """\
# TYPE infergate_request_seconds histogram
infergate_request_seconds_bucket{model="m",le="+Inf"} 100
infergate_request_seconds_sum{model="m"} 0.8
infergate_request_seconds_count{model="m"} 100
# TYPE infergate_overhead_seconds histogram
infergate_overhead_seconds_bucket{model="m",le="+Inf"} 100
infergate_overhead_seconds_sum{model="m"} 0.4
infergate_overhead_seconds_count{model="m"} 100
"""


def _run(**timing: float) -> Run:
    run = run_of([[0.01] * 100])
    run.server_timing = {
        name: Timing(seconds=100 * seconds, count=100) for name, seconds in timing.items()
    }
    return run


def _by_name(found: list[Span]) -> dict[str, float]:
    assert sum(one.share for one in found) == pytest.approx(1)
    return {one.name: one.seconds for one in found}


def test_a_gateway_is_split_into_all_it_says() -> None:
    """By Server-Timing, its metrics, and what is left between them."""
    run = _run(
        total=TOTAL, queue=0.002, preprocess=0.0005, cache=0.0001, infer=0.003, postprocess=0.0004
    )
    found = spans(run, Metrics.parse(UPSTREAM))
    assert _by_name(found) == pytest.approx(
        {
            "network": 0.002,
            "gateway": 0.001,
            "cache": 0.0001,
            "preprocess": 0.0005,
            "queue": 0.002,
            # 4 ms upstream, of which the model ran 3.
            "transport": 0.001,
            "inference": 0.003,
            "postprocess": 0.0004,
        },
        rel=0.01,
    )
    assert [one.name for one in found] == [name for name in MEANING if name in _by_name(found)]


def test_without_metrics_the_way_to_the_worker_is_the_gateways() -> None:
    """Nothing says how long an attempt took."""
    found = _by_name(spans(_run(total=TOTAL, infer=0.003), None))
    assert found == pytest.approx(
        {"network": 0.002, "gateway": 0.005, "inference": 0.003}, rel=0.01
    )


def test_hits_share_the_means_of_those_that_are_none() -> None:
    """Half of the answers came from the cache: the mean request infers half of the time."""
    run = _run(total=TOTAL)
    run.server_timing["infer"] = Timing(seconds=50 * 0.003, count=50)
    assert _by_name(spans(run, None))["inference"] == pytest.approx(0.0015)


def test_waiting_in_the_generator_is_a_span_of_its_own() -> None:
    """Response less service."""
    run = _run(total=TOTAL)
    run.service = run_of([[0.009] * 100]).response
    assert _by_name(spans(run, None))["client"] == pytest.approx(0.001, rel=0.05)


def test_statistics_of_another_server_are_read() -> None:
    """Triton's, whose counters have grown by so much."""
    run = run_of([[0.01] * 100])
    stages = {"queue": 2, "compute_input": 1, "compute_infer": 4, "compute_output": 1}
    told = {name: {"count": 100, "ns": ms * 100_000_000} for name, ms in stages.items()}
    run.statistics = {"model_stats": [{"inference_stats": {"success": {"count": 100}} | told}]}
    assert _by_name(spans(run, None)) == pytest.approx(
        {"network": 0.002, "queue": 0.002, "input": 0.001, "inference": 0.004, "output": 0.001},
        rel=0.01,
    )


def test_a_server_that_says_nothing_is_one_span() -> None:
    """All of its time."""
    assert _by_name(spans(run_of([[0.01]]), None)) == pytest.approx({"server": 0.01}, rel=0.01)


def test_no_answers_have_no_spans() -> None:
    """Nothing is split into nothing."""
    assert spans(run_of([[]]), None) == []
