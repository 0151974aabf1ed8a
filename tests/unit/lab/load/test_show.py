# SPDX-License-Identifier: Apache-2.0
"""A run in the terminal."""

import io

from rich.console import Console

from gateway.lab.load.histogram import Histogram
from gateway.lab.load.run import Health, Plan, Run, Timing
from gateway.lab.load.show import load, show
from gateway.lab.load.verdict import judge


def text(run: Run) -> str:
    """What a person sees."""
    out = io.StringIO()
    show(run, Console(file=out, width=100))
    return out.getvalue()


def measured() -> Run:
    """500 successes of 12 ms and one that timed out."""
    response = Histogram()
    response.record_seconds(0.012, 500)
    response.record_seconds(1.0)
    run = Run(
        plan=Plan(url="http://h:1", model="[b]m", rate=50.0, duration=10.0, timeout=1.0),
        seconds=10.0, offered=501, sent=501, answered=500, ok=500, errors={"timeout": 1},
        response=response, service=response, duplicates=0.25, cache={"hit": 100, "miss": 400},
        server_timing={"queue": Timing(seconds=1.0, count=500)}, health=[Health(cpu=0.2)],
    )  # fmt: skip
    judge(run)
    return run


def test_a_run_is_told_whole() -> None:
    """Verdict, rates, errors by kind, percentiles with intervals, and what was behind them."""
    said = text(measured())

    assert "[b]m at http://h:1: v2-json, Poisson, 50/s, 10s, seed 1" in said
    assert "VALID" in said
    assert "50.0 successes/s of 50.1/s offered, 500 in 10.0 s, errors 1 (0.20%)" in said
    assert "timed out: 1" in said
    assert "12 ms to 12 ms" in said
    assert "12 ms to none" in said
    assert "queue 2 ms" in said
    assert "25.0% sent before; cache: hit 20.0%, miss 80.0%" in said
    assert "CPU 20% of a core" in said


def test_an_invalid_run_says_why() -> None:
    """In words, before any figure."""
    run = measured()
    run.health = [Health(cpu=0.99)]
    judge(run)

    said = text(run)

    assert "INVALID: the generator is at its limit" in said
    assert said.index("INVALID") < said.index("successes/s")


def test_every_schedule_has_its_words() -> None:
    """Rates where there are any."""
    plan = Plan(url="", model="", rate=5.0, duration=90.0, batch=4)
    assert load(plan) == "v2-json, Poisson, 5/s, 90s, 4 rows a request, seed 1"
    assert "closed loop of 3" in load(Plan(url="", model="", schedule="closed", concurrency=3))
    assert "trace t" in load(Plan(url="", model="", schedule="trace", trace="t"))
    assert "ramp to 5/s" in load(Plan(url="", model="", schedule="ramp", rate=5.0))
    assert "burst of 3 times" in load(Plan(url="", model="", schedule="burst", rate=5.0))
