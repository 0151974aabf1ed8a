# SPDX-License-Identifier: Apache-2.0
"""What is chosen in the end, and what is left as it was."""

from __future__ import annotations

from math import inf

import pytest

from gateway.lab.tune.confirm import compare, confirm, finalists, interleaved, middle
from gateway.lab.tune.measured import Measured, Trial
from gateway.lab.tune.setting import Setting
from tests.support.tuning import OBJECTIVE, MadeUpBench

START = Setting()


def _runs(*rates: float) -> list[Measured]:
    return [Measured(throughput=rate, latency=0.01) for rate in rates]


def _trials(bench: MadeUpBench, *settings: Setting) -> list[Trial]:
    return [
        Trial(number=place, setting=each, measured=bench.measure(each))
        for place, each in enumerate(settings)
    ]


def test_the_best_is_chosen_and_what_makes_no_difference_goes_back() -> None:
    """Replicas are missed, the arena is not: the change is as small as it can be."""
    bench = MadeUpBench(noise=0.01)
    best = Setting(replicas=2, arena=False, precision="int8-static")

    choice = confirm(bench, START, _trials(bench, START, best), OBJECTIVE, rounds=5)

    assert choice.setting == Setting(replicas=2, precision="int8-static")
    assert choice.changed
    assert choice.gain.lower > 2
    kept = {one.names: one.kept for one in choice.knobs}
    assert kept == {
        ("replicas",): True, ("arena",): False, ("precision",): True,
    }  # fmt: skip


def test_nothing_changes_where_nothing_is_shown_to_be_better() -> None:
    """The best of many noisy ones is luck."""
    bench = MadeUpBench(noise=0.1)
    alike = [Setting(max_rows=rows) for rows in (32, 128, 256)]

    choice = confirm(bench, START, _trials(bench, START, *alike), OBJECTIVE, rounds=5)

    assert choice.setting == START
    assert not choice.changed


def test_equal_settings_are_hardly_ever_told_apart() -> None:
    """Of 200 comparisons of equals at 95 % about five name the second one better."""
    wrong = 0
    for seed in range(200):
        bench = MadeUpBench(noise=0.05, seed=seed)
        found = interleaved(bench, [START, Setting(max_rows=128)], rounds=5)
        wrong += compare(found[Setting(max_rows=128)], found[START]).better
    assert wrong <= 12


def test_what_meets_the_objective_beats_what_does_not() -> None:
    """Even where that is the start, which has no throughput then."""

    class Slow(MadeUpBench):
        def measure(self, setting: Setting, report: object = None) -> Measured:
            found = super().measure(setting)
            return Measured(latency=1.0) if setting == START else found

    bench = Slow()
    choice = confirm(bench, START, _trials(bench, START, Setting(replicas=2)), OBJECTIVE)

    assert choice.setting == Setting(replicas=2)
    assert choice.gain.value == inf


def test_turns_alternate_their_order() -> None:
    """So that a machine that grows slower favours nobody."""
    bench = MadeUpBench()
    interleaved(bench, [START, Setting(replicas=2)], rounds=2)

    assert [one.replicas for one in bench.tried] == [1, 2, 2, 1]


def test_finalists_meet_the_objective_and_were_not_given_up() -> None:
    """The fastest first."""
    trials = [
        Trial(number=0, setting=START, measured=Measured(throughput=5)),
        Trial(number=1, setting=Setting(replicas=2), measured=Measured(throughput=9, pruned=True)),
        Trial(number=2, setting=Setting(threads=2), measured=Measured(throughput=8, refused="no")),
        Trial(number=3, setting=Setting(max_rows=1), measured=Measured(throughput=7)),
        Trial(number=4, setting=Setting(max_rows=8), measured=Measured(latency=9.0)),
    ]

    assert finalists(trials, OBJECTIVE, most=3) == [Setting(max_rows=1), START]


def test_rounds_are_compared_one_by_one() -> None:
    """A drift that both share is no noise."""
    drifting = compare(_runs(100, 200, 400), _runs(50, 100, 200))

    assert (drifting.lower, drifting.upper) == pytest.approx((2, 2))
    assert drifting.better
    assert compare(_runs(1, 1), _runs(0, 0)).value == inf
    assert compare(_runs(0, 0), _runs(0, 0)).value == 1
    assert compare(_runs(0, 0), _runs(1, 1)).worse
    assert not compare(_runs(1, 0), _runs(1, 1)).better
    assert not compare(_runs(1, 1), _runs(0, 1)).better


def test_one_refusal_stands_for_all_rounds() -> None:
    """Answers that are wrong now and then are wrong."""
    assert middle([*_runs(5, 6), Measured(refused="no")]).refused == "no"
    assert middle(_runs(5, 9, 6)).throughput == 6


def test_rounds_that_could_not_be_measured_are_left_out() -> None:
    """They say nothing of the setting."""
    failed = Measured(failed="answered 503")

    assert middle([failed, *_runs(5)]).throughput == 5
    assert middle([failed]).failed == "answered 503"
    ratio = compare([failed, *_runs(20, 40)], _runs(9, 10, 20))
    assert (ratio.lower, ratio.upper) == pytest.approx((2, 2))
    assert not compare([failed], _runs(1)).better
