# SPDX-License-Identifier: Apache-2.0
"""Schedules send as many as they say, when they say, however many share them."""

from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.lab import LabError
from gateway.lab.load.run import Plan
from gateway.lab.load.schedule import arrivals, read_trace


def plan(**fields: Any) -> Plan:
    """1000 a second for 10 s."""
    return Plan(**{"url": "", "model": "", "rate": 1000.0, "duration": 10.0, **fields})


def seconds(until: float, made: Plan, warmup: float = 0.0) -> np.ndarray[Any, Any]:
    """The instants of *made* before *until*, in seconds."""
    return np.asarray(list(takewhile(lambda at: at < until * 1e9, arrivals(made, warmup)))) / 1e9


@pytest.mark.parametrize("schedule", ["poisson", "constant", "ramp", "burst"])
@pytest.mark.parametrize("shares", [2, 3, 7])
def test_shares_together_are_the_whole_schedule(schedule: str, shares: int) -> None:
    """Split over processes, the server sees the same instants, across all blocks."""
    made = plan(schedule=schedule)
    whole = list(islice(arrivals(made, 2.0), 7 * 900))

    parts = [
        list(islice(arrivals(made, 2.0, share=share, shares=shares), 7 * 900 // shares))
        for share in range(shares)
    ]

    assert [parts[place % shares][place // shares] for place in range(len(whole))] == whole


def test_poisson_gaps_are_exponential() -> None:
    """Mean and deviation of the gaps are one over the rate; the seed decides them."""
    at = seconds(20, plan(schedule="poisson"))
    gaps = np.diff(at)

    assert gaps.mean() == pytest.approx(1e-3, rel=0.03)
    assert gaps.std() == pytest.approx(1e-3, rel=0.03)
    assert (seconds(1, plan(seed=1)) == seconds(1, plan(seed=1))).all()
    assert seconds(1, plan(seed=1))[0] != seconds(1, plan(seed=2))[0]


def test_constant_gaps_never_drift() -> None:
    """The last of a million is where it belongs, to the nanosecond."""
    at = list(islice(arrivals(plan(schedule="constant", rate=3.0), 0), 6_000))

    assert at[:4] == [0, 333_333_333, 666_666_666, 1_000_000_000]
    assert at[5_997] == 1_999_000_000_000


def test_a_ramp_grows_from_its_first_rate_to_its_last() -> None:
    """After the warm-up at the first; what comes behind the end stays at the last."""
    at = seconds(14, plan(schedule="ramp", ramp_from=200.0), warmup=2.0)

    assert ((at >= 0) & (at < 2)).sum() / 2 == pytest.approx(200, rel=0.2)
    assert ((at >= 2) & (at < 3)).sum() == pytest.approx(240, rel=0.2)
    assert ((at >= 11) & (at < 12)).sum() == pytest.approx(960, rel=0.1)
    assert ((at >= 2) & (at < 12)).sum() == pytest.approx(6_000, rel=0.05)
    assert ((at >= 12) & (at < 14)).sum() / 2 == pytest.approx(1_000, rel=0.1)


def test_a_burst_stands_in_the_middle() -> None:
    """Three times the rate for as long as asked, the rate itself before and behind."""
    at = seconds(12, plan(schedule="burst", burst_seconds=2.0), warmup=1.0)

    assert ((at >= 1) & (at < 5)).sum() / 4 == pytest.approx(1_000, rel=0.1)
    assert ((at >= 5) & (at < 7)).sum() / 2 == pytest.approx(3_000, rel=0.1)
    assert ((at >= 7) & (at < 11)).sum() / 4 == pytest.approx(1_000, rel=0.1)


def test_a_trace_is_replayed_and_stretched(tmp_path: Path) -> None:
    """From its first instant, again and again; a rate stretches it."""
    path = tmp_path / "trace.csv"
    path.write_text("time,what\n# a comment\n100.0,a\n100.5,b\n\n102.0,c\n")

    trace = read_trace(str(path), 0.0)
    at = list(islice(arrivals(plan(schedule="trace"), 0, trace=trace), 5))

    assert trace.tolist() == [0.0, 0.5, 2.0]
    assert at == [0, 500_000_000, 2_000_000_000, 3_000_000_000, 3_500_000_000]
    assert read_trace(str(path), 10.0)[-1] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "two or more"),
        ("1\nx\n", ":2: 'x': expected an instant"),
        ("2\n1\n", "in order of time"),
        ("1\n1\n", "the same"),
        ("1\nnan\n", "finite"),
    ],
)
def test_a_trace_that_cannot_be_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """By its line, where there is one."""
    path = tmp_path / "trace"
    path.write_text(text)
    with pytest.raises(LabError, match=says):
        read_trace(str(path), 0.0)


def test_a_trace_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(LabError, match="none: No such file"):
        read_trace(str(tmp_path / "none"), 0.0)
