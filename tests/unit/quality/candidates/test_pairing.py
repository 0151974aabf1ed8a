# SPDX-License-Identifier: Apache-2.0
"""Pairing: what is counted where, whatever the order, and how late harm is noticed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.quality.candidates.pairing import BLOCK, MOST_BLOCKS, Pairing
from gateway.statistics.comparison import Pairs

ROWS = st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=60)


def add(pairing: Pairing, rows: list[tuple[int, int, int]], *, start: float = 0.0) -> None:
    """Add *rows* of live, candidate and true classes."""
    live, candidate, _ = np.asarray(rows).T
    pairing.add(live, candidate, start + np.arange(len(rows)), np.ones(len(rows)))


def label(pairing: Pairing, rows: list[tuple[int, int, int]], sign: int, start: float = 0) -> None:
    """Give *rows* their labels, or take them away."""
    live, candidate, true = np.asarray(rows).T
    pairing.label(
        live, candidate, true=true, signs=np.full(len(rows), sign),
        times=start + np.arange(len(rows)), weights=np.ones(len(rows)),
    )  # fmt: skip


@given(ROWS)
def test_it_counts_as_pairs_are_counted(rows: list[tuple[int, int, int]]) -> None:
    """With all labels, and again with none."""
    live, candidate, true = np.asarray(rows).T
    pairing = Pairing("a", "b")
    add(pairing, rows)
    before = pairing.pairs
    label(pairing, rows, 1)

    assert before == Pairs.of(live, candidate, true, np.zeros(len(rows), dtype=bool))
    assert pairing.pairs == Pairs.of(live, candidate, true)
    label(pairing, rows, -1)
    assert pairing.pairs == before


@settings(max_examples=25)
@given(st.permutations(range(8)), st.randoms(use_true_random=False))
def test_the_order_of_labels_changes_nothing(order: list[int], random: object) -> None:
    """Not even the bets that begin late, as rows count where they were answered."""
    batches = [
        [(0, int(place > 3 and row % 5 == 0), 0) for row in range(BLOCK)] for place in range(8)
    ]

    def told(places: list[int]) -> tuple[Pairs, float]:
        pairing = Pairing("a", "b")
        for place, rows in enumerate(batches):
            add(pairing, rows, start=place * 1000.0)
        for place in places:
            label(pairing, batches[place], 1, start=place * 1000.0)
        return pairing.pairs, pairing.harm(margin=0.01)

    assert told(order) == told(sorted(order))


def test_rows_of_before_do_not_count() -> None:
    """Nor do their labels."""
    pairing = Pairing("a", "b", since=2.0)
    rows = [(0, 1, 0), (0, 1, 0), (0, 1, 0), (0, 0, 0)]
    add(pairing, rows)
    label(pairing, rows, 1)

    assert pairing.pairs == Pairs(live=1, agreed=1)


def test_weights_are_kept_apart() -> None:
    """And add up."""
    pairing = Pairing("a", "b")
    same = np.zeros(4, dtype=np.int32)
    pairing.add(same, same, np.arange(4.0), np.asarray([1.0, 0.1, 0.1, 1e-9]))

    strata = pairing.strata
    assert [strata[weight].rows for weight in sorted(strata)] == [1, 2, 1]
    assert max(strata) == 1.0
    assert pairing.pairs == Pairs(unlabelled_agreed=4)


def test_harm_after_a_long_good_time_is_noticed_soon() -> None:
    """Where all rows together would still say that it is better."""
    pairing = Pairing("a", "b")
    good = [(0, int(row % 50 == 0), int(row % 50 == 0)) for row in range(BLOCK)]
    bad = [(0, int(row % 10 == 0), 0) for row in range(BLOCK)]
    for place in range(40):
        add(pairing, good, start=place * 1000.0)
        label(pairing, good, 1, start=place * 1000.0)
    before = pairing.harm(margin=0.01)
    for place in (40, 41):
        add(pairing, bad, start=place * 1000.0)
        label(pairing, bad, 1, start=place * 1000.0)

    assert before < 1
    assert pairing.pairs.candidate > pairing.pairs.live
    assert pairing.harm(margin=0.01) >= 20


def test_blocks_stay_few() -> None:
    """However many rows come; none is lost, and the bets that are given up raise nothing."""
    pairing = Pairing("a", "b")
    row = [(0, 0, 0)] * BLOCK
    for place in range(4 * MOST_BLOCKS):
        add(pairing, row, start=place * 1000.0)

    assert pairing.pairs.rows == 4 * MOST_BLOCKS * BLOCK
    assert len(pairing._blocks) <= MOST_BLOCKS
    assert pairing._numbers == sorted(set(pairing._numbers))
    assert pairing.harm(margin=0.01) < 1


def test_a_model_that_is_no_worse_is_hardly_ever_taken_back() -> None:
    """200 models that lose exactly the margin, looked at after each of 20 blocks."""
    random = np.random.default_rng(5)
    alarms = 0
    for _ in range(200):
        pairing = Pairing("a", "b")
        for place in range(20):
            lost = (random.random(BLOCK) < 0.02).astype(np.int32)
            zero, times = np.zeros(BLOCK, dtype=np.int32), place * 1000.0 + np.arange(BLOCK)
            pairing.add(zero, lost, times, np.ones(BLOCK))
            pairing.label(
                zero, lost, true=zero, signs=np.ones(BLOCK), times=times, weights=np.ones(BLOCK)
            )
            if pairing.harm(margin=0.02) >= 20:
                alarms += 1
                break

    assert alarms / 200 <= 0.05
