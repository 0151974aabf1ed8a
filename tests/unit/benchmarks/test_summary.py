# SPDX-License-Identifier: Apache-2.0
"""Ratios are taken within a round, and verdicts follow from their medians."""

import pytest

from benchmarks.plan import CASES, TARGETS, Target
from benchmarks.summary import Sample, Soak, Spread, ratios, verdicts

FASTER = Target(
    "faster than haproxy", "digits-32", ("gateway", "rate"), ("haproxy", "rate"), "at least", 1.0
)


def sample(
    number: int, contender: str, rate: float, case: str = "digits-32", p50: float = 1.0
) -> Sample:
    """A sample of which a test sets what it is about."""
    return Sample(
        round=number,
        case=case,
        contender=contender,
        rate=rate,
        p50_ms=p50,
        p99_ms=2 * p50,
        max_ms=9.0,
        cpu_ms=0.02,
        rss_mib=50.0,
        foreign=0.0,
    )


def test_a_spread_is_the_median_and_its_ends() -> None:
    """One outlier moves an end and not the middle."""
    assert Spread.over([3.0, 1.0, 100.0]) == Spread(3.0, 1.0, 100.0)


def test_a_ratio_pairs_what_one_round_measured() -> None:
    """A machine at half speed in one round changes no ratio."""
    samples = [
        sample(0, "gateway", 120.0),
        sample(0, "haproxy", 100.0),
        sample(1, "haproxy", 50.0),
        sample(1, "gateway", 60.0),
    ]
    assert ratios(samples, FASTER) == Spread(1.2, 1.2, 1.2)


def test_a_ratio_leaves_other_cases_and_lonely_rounds_out() -> None:
    """Only a round that has both sides in this very case counts."""
    samples = [
        sample(0, "gateway", 200.0),
        sample(0, "haproxy", 100.0, case="digits-1"),
        sample(1, "gateway", 90.0),
        sample(1, "haproxy", 100.0),
    ]
    assert ratios(samples, FASTER) == Spread(0.9, 0.9, 0.9)


def test_what_was_not_measured_has_no_verdict() -> None:
    """A run of one contender claims nothing about ratios."""
    assert ratios([sample(0, "gateway", 1.0)], FASTER) is None
    assert verdicts([sample(0, "gateway", 1.0)], [], []) == []


@pytest.mark.parametrize(("rate", "met"), [(100.0, True), (99.0, False)])
def test_the_median_of_the_ratios_decides(rate: float, met: bool) -> None:  # noqa: FBT001
    """One good round of three is not enough; being level is."""
    samples = [sample(number, "haproxy", 100.0) for number in range(3)]
    samples += [sample(number, "gateway", rate) for number in range(2)]
    samples.append(sample(2, "gateway", 500.0))
    (verdict,) = verdicts(samples, [], [])
    assert verdict.met is met


def test_a_latency_target_is_met_from_below() -> None:
    """The p99 over the p50 of one contender is a ratio like any other."""
    (verdict,) = verdicts([sample(0, "gateway", 1.0, case="digits-128")], [], [])
    assert verdict.figure.median == 2.0
    assert verdict.met


def test_start_up_is_judged_by_its_median() -> None:
    """A slow first start, with cold files, does not decide."""
    (verdict,) = verdicts([], [9.0, 1.0, 1.1], [])
    assert verdict.met
    (verdict,) = verdicts([], [9.0, 3.1, 1.1], [])
    assert not verdict.met


def test_a_soak_judges_size_and_growth_of_its_second_half() -> None:
    """Memory that grows with the requests fails, however small it still is."""
    steady = [Soak(500_000, 80.0), Soak(1_000_000, 81.0)]
    assert [verdict.met for verdict in verdicts([], [], steady)] == [True, True]
    growing = [Soak(500_000, 60.0), Soak(1_000_000, 80.0)]
    assert [verdict.met for verdict in verdicts([], [], growing)] == [True, False]
    large = [Soak(500_000, 121.0), Soak(1_000_000, 121.0)]
    assert [verdict.met for verdict in verdicts([], [], large)] == [False, True]


def test_a_soak_that_is_too_short_proves_nothing() -> None:
    """Fewer requests than aimed at are not enough for a yes."""
    short = [Soak(1000, 60.0), Soak(2000, 60.0)]
    assert [verdict.met for verdict in verdicts([], [], short)] == [False, False]


def test_every_target_names_a_case_in_which_both_sides_take_part() -> None:
    """A target that could never be measured would never be missed."""
    takes_part = {case.name: case.contenders for case in CASES}
    for target in TARGETS:
        assert target.subject[0] in takes_part[target.case], target
        assert target.rival[0] in takes_part[target.case], target
