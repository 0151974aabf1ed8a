# SPDX-License-Identifier: Apache-2.0
"""What is said of a choice."""

from __future__ import annotations

from gateway.lab.tune.confirm import Choice, Knob, Ratio, confirm
from gateway.lab.tune.measured import Measured, Trial
from gateway.lab.tune.reasons import reasons
from gateway.lab.tune.setting import Setting
from tests.support.tuning import OBJECTIVE, MadeUpBench

START = Setting()


def _said(choice: Choice, *trials: Trial, **refusals: str) -> str:
    named = {name.replace("_", "-"): why for name, why in refusals.items()}
    return "\n".join(reasons(choice, trials, OBJECTIVE, named))


def _choice(before: Measured, after: Measured, setting: Setting, *knobs: Knob) -> Choice:
    return Choice(
        start=START, setting=setting, changed=setting != START,
        gain=Ratio(value=2, lower=1.9, upper=2.1), before=before, after=after, knobs=list(knobs),
    )  # fmt: skip


FAST = Measured(throughput=2000, latency=0.012, memory=100 << 20)
SLOW = Measured(throughput=1000, latency=0.015, memory=80 << 20)


def test_a_gain_is_told_with_its_interval_and_both_sides() -> None:
    """Throughput, latency and memory, before and after."""
    said = _said(_choice(SLOW, FAST, Setting(replicas=2)))

    assert (
        "2,000 requests/s at 12 ms, 100 MiB within p99 <= 20ms, 2.00 times (1.90 to 2.10) as much "
        "as before (1,000 requests/s at 15 ms, 80 MiB)."
    ) in said
    assert "replicas 2 instead of 1: that is the whole difference." in said


def test_each_knob_is_told_by_what_it_is_worth() -> None:
    """What is missed and what is not."""
    kept = Knob(names=("replicas",), before="replicas 1", after="replicas 2",
                ratio=Ratio(value=1.8, lower=1.7, upper=1.9), kept=True)  # fmt: skip
    gone = Knob(names=("arena",), before="arena on", after="arena off",
                ratio=Ratio(value=1, lower=0.9, upper=1.1), kept=False)  # fmt: skip
    said = _said(_choice(SLOW, FAST, Setting(replicas=2), kept, gone))

    assert "replicas 2 instead of replicas 1: 1.80 times (1.70 to 1.90) the throughput" in said
    assert "arena off instead of arena on (whether workers keep" in said
    assert "put back, it makes no difference (1.00 times (0.90 to 1.10))" in said


def test_no_change_is_told_as_one() -> None:
    """And what it carries."""
    said = _said(_choice(SLOW, SLOW, START))

    assert "stays as it is: nothing is shown to carry more than its 1,000 requests/s" in said


def test_an_objective_that_nothing_meets_is_told() -> None:
    """With what would help."""
    missed = Measured(latency=0.05, capacity=400)

    assert "No setting keeps p99 <= 20ms" in _said(_choice(missed, missed, START))
    assert "50 ms" in _said(_choice(missed, missed, START))


def test_a_start_that_misses_the_objective_is_named() -> None:
    """The gain has no number then."""
    said = _said(_choice(Measured(latency=0.05), FAST, Setting(replicas=2)))

    assert "the setting of before does not keep p99 <= 20ms at any rate" in said


def test_refused_precisions_and_settings_are_told() -> None:
    """By the gate's own sentence."""
    trial = Trial(number=0, setting=Setting(precision="int8-dynamic"),
                  measured=Measured(refused="On 400 rows 9 are lost."))  # fmt: skip
    said = _said(_choice(SLOW, SLOW, START), trial, int8_static="it is worse.")

    assert "int8-static is out: it is worse." in said
    assert "1 settings in int8-dynamic were refused for their answers: On 400 rows" in said


def test_a_real_choice_has_words() -> None:
    """From trials to sentences."""
    bench = MadeUpBench(noise=0.01)
    settings = [START, Setting(replicas=2, arena=False)]
    trials = [
        Trial(number=place, setting=each, measured=bench.measure(each))
        for place, each in enumerate(settings)
    ]
    said = reasons(confirm(bench, START, trials, OBJECTIVE), trials, OBJECTIVE, {})

    assert len(said) >= 3
    assert said[-1] == "2 settings were tried."
