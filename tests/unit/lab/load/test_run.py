# SPDX-License-Identifier: Apache-2.0
"""Plans that cannot be are refused, and runs are kept as JSON."""

import json
from typing import Any

import numpy as np
import pytest

from gateway.lab import LabError
from gateway.lab.load.histogram import Histogram
from gateway.lab.load.run import SCHEMA, Health, Plan, Run, Second, Timing

PLAN = Plan(url="http://127.0.0.1:8000", model="digits", rate=100.0, timeout=1.0)


def histogram(*milliseconds: float) -> Histogram:
    """One of these durations."""
    made = Histogram()
    made.record(np.asarray([round(each * 1e6) for each in milliseconds], dtype=np.int64))
    return made


def run(**fields: Any) -> Run:
    """A run of 10 s with 4 requests, of which one took too long."""
    given: dict[str, Any] = {
        "plan": PLAN, "seconds": 10.0, "offered": 4, "sent": 4, "answered": 3, "ok": 3,
        "errors": {"timeout": 1}, "response": histogram(1, 2, 30, 1000),
    }  # fmt: skip
    return Run(**{**given, **fields})


def test_a_run_is_kept_whole() -> None:
    """What is read again is equal to what was measured, to the last histogram."""
    whole = run(
        timeline=[Second(second=0, offered=4, response=histogram(1, 2, 30))],
        server_timing={"queue": Timing(seconds=0.5, count=3)},
        health=[Health(host="here", pid=7, cpu=0.25)],
        cache={"hit": 2},
    )

    kept = whole.json()

    assert Run.parse(kept) == whole
    assert json.loads(kept)["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{}", "field `plan`"),
        (b"nothing", "invalid|malformed"),
        (run(schema=99).json(), "schema 99"),
        (run().json().replace(b"HIST", b"TSIH"), "not a histogram"),
    ],
)
def test_another_file_is_refused_by_its_name(data: bytes, says: str) -> None:
    """One line that names the file and the fault."""
    with pytest.raises(LabError, match=rf"^old\.json: .*({says})"):
        Run.parse(data, name="old.json")


def test_goodput_counts_successes_within_the_slo() -> None:
    """A timeout is in the percentiles but was never a success, whatever the SLO."""
    assert run().goodput(0.005) == 0.2
    assert run().goodput(0.1) == 0.3
    assert run().goodput(5.0) == 0.3
    assert run().throughput == 0.3
    assert run().error_share == 0.25
    assert run().percentile(100) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"rate": 0.0}, "rate 0: schedule 'poisson' needs"),
        ({"protocol": "v3"}, "protocol 'v3': expected one of v2-json"),
        ({"schedule": "sine"}, "schedule 'sine': expected one of closed"),
        ({"schedule": "closed", "concurrency": 0}, "concurrency 0: expected 1 or more"),
        ({"duration": 0.0}, "duration 0 s"),
        ({"repeat": 1.5}, "repeat 1.5: expected a share"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(fields: dict[str, Any], says: str) -> None:
    """The message names the field, its value and what would be right."""
    given = {"url": PLAN.url, "model": PLAN.model, "rate": 100.0, **fields}
    with pytest.raises(LabError, match=says):
        Plan(**given).check()


def test_an_open_loop_has_more_connections_than_a_closed_one() -> None:
    """In a closed loop a connection more than requests in flight would never be used."""
    assert PLAN.connection_limit == 256
    assert Plan(url="", model="", schedule="closed", concurrency=7).connection_limit == 7
    assert Plan(url="", model="", connections=3).connection_limit == 3
