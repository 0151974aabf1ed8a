# SPDX-License-Identifier: Apache-2.0
"""A run that measured the generator is invalid, by named reasons."""

from typing import Any

import numpy as np
import pytest

from gateway.lab.load.histogram import Histogram
from gateway.lab.load.run import Health, Plan, Run, Second
from gateway.lab.load.verdict import judge, shown, trend

PLAN = Plan(url="", model="", rate=100.0, duration=10.0)


def histogram(seconds: float, number: int = 1000, *more: float) -> Histogram:
    """*number* times *seconds*, and *more*."""
    made = Histogram()
    made.record_seconds(seconds, number)
    made.record(np.asarray([round(each * 1e9) for each in more], dtype=np.int64))
    return made


def judged(**fields: Any) -> Run:
    """A run of a thousand requests of 20 ms, with what is different."""
    given: dict[str, Any] = {
        "plan": PLAN, "seconds": 10.0, "offered": 1000, "sent": 1000, "ok": 1000,
        "response": histogram(0.02), "lag": histogram(0.0001), "health": [Health(cpu=0.5)],
    }  # fmt: skip
    run = Run(**{**given, **fields})
    judge(run)
    return run


def test_a_healthy_run_is_valid_without_notes() -> None:
    """Nothing to say is nothing said."""
    run = judged()

    assert (run.valid, run.reasons, run.notes) == (True, [], [])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"lag": histogram(0.0001, 980, *[0.003] * 20)}, "p99 of the send lag is 3"),
        ({"lag": histogram(0.0011), "response": histogram(0.001)}, "above 1 ms"),
        ({"health": [Health(cpu=0.5, late=6), Health(late=5)]}, "1.1% of requests were sent late"),
        ({"health": [Health(cpu=0.5), Health(cpu=0.95)]}, "1 of 2 processes used up to 95%"),
        ({"ok": 0, "response": Histogram(), "errors": {"connect": 5}}, "succeeded (5 connect)"),
    ],
)
def test_a_generator_at_fault_is_named(fields: dict[str, Any], says: str) -> None:
    """With the figure and the bound."""
    run = judged(**fields)

    assert not run.valid
    assert len(run.reasons) == 1
    assert says in run.reasons[0]


def test_the_lag_may_be_a_tenth_of_a_slow_answer() -> None:
    """2 ms late is nothing to 20 ms, and 1 ms is allowed whatever the server takes."""
    assert judged(lag=histogram(0.0019)).valid
    assert judged(lag=histogram(0.0009), response=histogram(0.0001)).valid


def test_a_closed_loop_has_no_schedule_to_keep() -> None:
    """It is labelled, and cannot be late."""
    run = judged(plan=Plan(url="", model="", schedule="closed", duration=10.0),
                 lag=histogram(1.0))  # fmt: skip

    assert run.valid
    assert run.notes[0].startswith("closed loop:")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"seconds": 4.0}, "stopped after 4.0 s of 10s"),
        ({"waited": histogram(0.002, 20)}, "2.0% of requests waited for one of 256"),
        ({"ok": 100, "response": histogram(0.02, 100)}, "too few for an upper bound of p99"),
        ({"plan": Plan(url="", model="", repeat=0.1, duration=10.0), "duplicates": 0.6},
         "60% of inputs were repeated, not 10%"),
    ],
)  # fmt: skip
def test_what_a_reader_should_know_is_noted(fields: dict[str, Any], says: str) -> None:
    """It does not make the run invalid."""
    run = judged(**fields)

    assert run.valid
    assert says in " ".join(run.notes)


def test_a_share_of_repeats_is_off_by_chance() -> None:
    """A few hundred draws do not give exactly half."""
    half = Plan(url="", model="", repeat=0.5, duration=10.0)

    assert judged(plan=half, duplicates=0.53, offered=209).notes == []
    assert "repeated, not 50%" in judged(plan=half, duplicates=0.53, offered=20_000).notes[0]


def seconds(medians: list[float]) -> list[Second]:
    """A timeline of these."""
    return [Second(second=place, p50=each) for place, each in enumerate(medians)]


def test_a_growing_response_time_is_no_steady_state() -> None:
    """Of a queue that grows: the rate is above what is carried."""
    grows = seconds([0.01 * second for second in range(1, 31)])

    assert trend(grows, 30.0) == pytest.approx((0.055, 0.255))
    assert "may be above what is carried" in judged(timeline=grows, seconds=30.0).notes[0]
    falls = list(reversed(grows))
    for place, each in enumerate(falls):
        each.second = place
    assert "longer --warmup" in judged(timeline=falls, seconds=30.0).notes[0]


def test_chance_is_no_trend() -> None:
    """Seconds that vary around one value are steady, nearly always; a few tell nothing."""
    random = np.random.default_rng(3)
    found = [
        trend(seconds((0.02 * random.lognormal(0, 0.3, 30)).tolist()), 30.0) for _ in range(200)
    ]

    assert sum(each is not None for each in found) <= 4
    assert trend(seconds([0.1, 0.2, 0.3, 0.4]), 4.0) is None


@pytest.mark.parametrize(
    ("duration", "text"), [(2.5, "2.5 s"), (0.0123456, "12.3 ms"), (0.00005, "50 us")]
)
def test_durations_are_shown_to_three_digits(duration: float, text: str) -> None:
    """In the unit that suits."""
    assert shown(duration) == text
