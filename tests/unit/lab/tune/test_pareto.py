# SPDX-License-Identifier: Apache-2.0
"""Which settings no other beats."""

from __future__ import annotations

from gateway.lab.tune.measured import Measured, Trial
from gateway.lab.tune.page import page
from gateway.lab.tune.pareto import points
from gateway.lab.tune.result import Tuning
from gateway.lab.tune.setting import Setting, Space
from tests.support.tuning import OBJECTIVE


def _trials(*measured: Measured) -> list[Trial]:
    return [
        Trial(number=place, setting=Setting(max_rows=place + 1), measured=one)
        for place, one in enumerate(measured)
    ]


def test_the_front_is_what_is_best_in_something() -> None:
    """Throughput, latency, memory or accuracy; equals stand side by side."""
    trials = _trials(
        Measured(throughput=100, latency=0.01, memory=50, accuracy=0.9),
        Measured(throughput=200, latency=0.02, memory=50, accuracy=0.9),
        Measured(throughput=90, latency=0.02, memory=60, accuracy=0.9),
        Measured(throughput=90, latency=0.02, memory=60, accuracy=0.95),
        Measured(throughput=100, latency=0.01, memory=50, accuracy=0.9),
    )

    made = points(trials, OBJECTIVE, Setting(max_rows=2), {})

    assert [one.front for one in made] == [True, True, False, True, True]
    assert [one.chosen for one in made] == [False, True, False, False, False]


def test_what_misses_the_objective_is_shown_and_beats_nobody() -> None:
    """What was refused or given up is not shown at all."""
    trials = _trials(
        Measured(throughput=100, latency=0.01, memory=50),
        Measured(throughput=0, latency=0.001, memory=1),
        Measured(throughput=900, refused="no"),
        Measured(throughput=900, pruned=True),
    )

    made = points(trials, OBJECTIVE, Setting(), {})

    assert [(one.feasible, one.front) for one in made] == [(True, True), (False, False)]


def test_what_was_measured_again_counts() -> None:
    """The first figure of a winner is too good to be true."""
    trials = _trials(Measured(throughput=100, latency=0.01))
    again = {Setting(max_rows=1): Measured(throughput=80, latency=0.012)}

    (point,) = points(trials, OBJECTIVE, Setting(max_rows=1), again)

    assert (point.throughput, point.latency) == (80, 0.012)


def test_the_report_has_every_point_and_the_reason() -> None:
    """One file, with the chosen and the first setting marked."""
    trials = _trials(
        Measured(throughput=100, latency=0.01, memory=50),
        Measured(throughput=200, latency=0.015, memory=50),
    )
    tuning = Tuning(
        model="digits", slo="p99 <= 20ms", max_accuracy_drop=0.005, machine={}, space=Space.on(2),
        settings=9, trials=trials, choice=None, reasons=["Because it is quicker."], difference="",
        points=points(trials, OBJECTIVE, Setting(max_rows=2), {}), start=Setting(max_rows=1),
    )  # fmt: skip

    text = page(tuning, OBJECTIVE)

    assert text.startswith("<!doctype html>")
    assert "chosen: max_rows 2" in text
    assert "before" in text
    assert "Because it is quicker." in text
