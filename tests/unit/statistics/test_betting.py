# SPDX-License-Identifier: Apache-2.0
"""E-values: known ones, and false alarms over thousands of streams that are looked at all along."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from gateway.statistics.betting import (
    MeanAbove,
    always_valid_p,
    benjamini_hochberg,
    mcnemar,
    mcnemar_better,
    not_worse,
    worse,
)

ALPHA = 0.05


@pytest.mark.parametrize(("b", "c", "wealth"), [(10, 30, 23.4), (8, 24, 9.2), (5, 15, 2.4)])
def test_known_values(b: int, c: int, wealth: float) -> None:
    """The closed form of the Beta mixture."""
    assert mcnemar(b, c) == pytest.approx(wealth, abs=0.05)


def test_one_sided_is_the_mixture_of_coins_that_favour_the_candidate() -> None:
    """By numerical integration over coins above 1/2."""
    b, c = 8, 24
    prior = stats.beta(0.5, 0.5)
    wanted, _ = integrate.quad(
        lambda p: 2 * prior.pdf(p) * (2 * p) ** c * (2 * (1 - p)) ** b, 0.5, 1
    )

    assert mcnemar_better(b, c) == pytest.approx(wanted, rel=1e-6)
    assert mcnemar_better(c, b) < 0.1


def streams(
    live: float, candidate: float, runs: int, rows: int, seed: int
) -> tuple[np.ndarray, ...]:
    """Running counts [runs, rows] of rows that only one has right, and of the rest."""
    random = np.random.default_rng(seed).random((runs, rows))
    b = (random < live).cumsum(axis=1)
    c = ((random >= live) & (random < live + candidate)).cumsum(axis=1)
    return b, c, np.arange(1, rows + 1) - b - c


def ever(wealth: np.ndarray) -> float:
    """The share of streams whose wealth decides at some look."""
    return float((wealth.max(axis=1) >= 1 / ALPHA).mean())


def test_equal_models_are_hardly_ever_called_better() -> None:
    """10,000 A/A runs, a look at every one of 300 rows; plain tests at every look fail in many."""
    decided, naive = [], []
    for seed in range(10):
        b, c, same = streams(0.1, 0.1, 1000, 300, seed)
        decided.append(ever(not_worse(b, c, same, margin=0.0)))
        with np.errstate(invalid="ignore"):
            z = (c - b)[:, 20:] / np.sqrt((b + c)[:, 20:])
        naive.append(float((z > 1.645).any(axis=1).mean()))

    assert np.mean(decided) <= ALPHA
    assert np.mean(naive) > 4 * ALPHA


def test_a_candidate_at_the_margin_is_hardly_ever_promoted() -> None:
    """10,000 runs of one that is worse by exactly the margin, and of one that is better by it."""
    promoted, removed = [], []
    for seed in range(10):
        counts = streams(0.06, 0.04, 1000, 300, seed)
        promoted.append(ever(not_worse(*counts, margin=0.02)))
        removed.append(ever(worse(*counts, margin=0.02)))

    assert np.mean(promoted) <= ALPHA
    assert np.mean(removed) <= ALPHA


def test_real_differences_are_found() -> None:
    """Power: a candidate as good as the live model, and one that is worse by five margins."""
    good = streams(0.01, 0.01, 200, 3000, 1)
    bad = streams(0.12, 0.02, 200, 3000, 2)

    assert ever(not_worse(*good, margin=0.02)) > 0.95
    assert ever(worse(*bad, margin=0.02)) > 0.99
    assert ever(not_worse(*bad, margin=0.02)) == 0


def test_rows_one_by_one_make_the_wealth_of_their_counts() -> None:
    """The order does not matter, and processes add up."""
    values = np.repeat([-1.0, 1.0, 0.0], [4, 9, 87])
    np.random.default_rng(1).shuffle(values)
    bets, first, second = (MeanAbove(claim=-0.02) for _ in range(3))
    for value in values:
        bets.add(np.asarray([value]))
    first.add(values[:50])
    second.add(values[50:])
    first.merge(second)

    expected = float(not_worse(4, 9, 87, margin=0.02))
    assert bets.wealth == pytest.approx(expected)
    assert first.wealth == pytest.approx(expected)
    assert bets.highest >= bets.wealth
    assert MeanAbove.unpack(bets.pack()).wealth == bets.wealth
    assert always_valid_p(bets.highest) == min(1, 1 / bets.highest)


def test_rows_chosen_for_their_label_keep_the_error() -> None:
    """A quarter of rows is labelled and weighs 4: 3,000 runs at the margin stay in bounds."""
    random = np.random.default_rng(9)
    decided = 0
    for _ in range(3000):
        draw = random.random(400)
        d = np.where(draw < 0.1, -1.0, np.where(draw < 0.16, 1.0, 0.0))
        weighted = np.where(random.random(400) < 0.25, d * 4, 0.0)
        bets = MeanAbove(claim=-0.04, low=-4.0, high=4.0)
        for part in np.split(weighted, 20):
            bets.add(part)
        decided += bets.highest >= 1 / ALPHA

    assert decided / 3000 <= ALPHA


@pytest.mark.parametrize("value", [-1.5, 2.0, float("nan")])
def test_a_value_that_could_owe_is_refused(value: float) -> None:
    """Wealth below 0 would be no bet."""
    with pytest.raises(ValueError, match=r"outside of \[-1, 1\]|not a finite"):
        MeanAbove(claim=0.0).add(np.asarray([value]))


def test_claims_and_margins_that_make_no_sense_are_refused() -> None:
    """The message says what would be right."""
    with pytest.raises(ValueError, match="expected more than -1 and less than 1"):
        MeanAbove(claim=1.0)
    with pytest.raises(ValueError, match="margin 1: expected 0 or more"):
        not_worse(0, 0, 1, margin=1.0)
    with pytest.raises(ValueError, match="do not merge"):
        MeanAbove(claim=0.0).merge(MeanAbove(claim=0.1))


def test_discoveries_among_many_tests() -> None:
    """The k largest, where the k-th is n / (alpha k) or more."""
    assert benjamini_hochberg(np.asarray([1.0, 41.0, 50.0, 0.1])) == [1, 2]
    assert benjamini_hochberg(np.asarray([1.0, 39.0, 50.0, 0.1])) == []
    assert benjamini_hochberg(np.asarray([1.0, 39.0, 80.0, 0.1])) == [2]
