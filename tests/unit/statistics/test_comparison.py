# SPDX-License-Identifier: Apache-2.0
"""What may be decided of a candidate, with labels, with few and with none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gateway.statistics.comparison import (
    Pairs,
    decide,
    decide_weighted,
    difference_interval,
    differs_at_most,
    harmed,
    mcnemar_exact,
)
from gateway.statistics.intervals import Interval


def test_pairs_are_told_apart() -> None:
    """Who is right, and whether that is known."""
    live = np.asarray([0, 0, 1, 2, 0, 1])
    candidate = np.asarray([0, 1, 0, 1, 0, 2])
    truth = np.asarray([0, 0, 0, 0, 9, 9])
    labelled = np.asarray([True, True, True, True, False, False])

    pairs = Pairs.of(live, candidate, truth, labelled)

    assert pairs == Pairs(live=1, candidate=1, neither=1, agreed=1,
                          unlabelled_agreed=1, unlabelled_differ=1)  # fmt: skip
    assert (pairs.rows, pairs.labelled, pairs.differ) == (6, 4, 4)
    assert pairs + pairs - pairs == pairs


def test_too_little_disagreement_proves_without_a_label() -> None:
    """A candidate that differs on nothing is promoted as soon as the rows suffice, not before."""
    early = decide(Pairs(unlabelled_agreed=100), margin=0.01)
    late = decide(Pairs(unlabelled_agreed=1000, unlabelled_differ=1), margin=0.01)
    above = decide(Pairs(unlabelled_agreed=980, unlabelled_differ=20), margin=0.01)

    assert (early.outcome, late.outcome, above.outcome) == (
        "inconclusive", "promote", "inconclusive",
    )  # fmt: skip
    assert late.without_labels
    assert "none of which has a label" in late.sentence
    assert "worse by less than 1.00% of rows" in late.sentence
    assert late.disagreement.upper < 0.015


def test_labels_of_the_differing_rows_decide() -> None:
    """Agreement needs no label; of the differing rows the candidate wins as many as it loses."""
    good = decide(Pairs(live=20, candidate=22, unlabelled_agreed=4000), margin=0.01)
    bad = decide(Pairs(live=90, candidate=5, agreed=900), margin=0.01)

    assert good.outcome == "promote"
    assert bad.outcome == "roll back"
    assert "shown to be worse by more than 1.00% of rows" in bad.sentence
    assert bad.difference == -85 / 995


def test_below_the_least_rows_nothing_is_decided() -> None:
    """An operator's floor."""
    pairs = Pairs(unlabelled_agreed=5000)

    assert decide(pairs, margin=0.01).outcome == "promote"
    assert decide(pairs, margin=0.01, least=10_000).outcome == "inconclusive"
    assert decide(Pairs(), margin=0.01).outcome == "inconclusive"


@pytest.mark.parametrize(("share", "limit"), [(0.0, 0.05), (0.7, 0.05)])
def test_an_inferior_candidate_is_hardly_ever_promoted_with_late_labels(
    share: float, limit: float
) -> None:
    """300 streams, worse by the margin, *share* of rows without a label; a look every 25 rows."""
    random = np.random.default_rng(4)
    promoted = 0
    for _ in range(300):
        draw = random.random(500)
        known = random.random(500) >= share
        for n in range(25, 501, 25):
            lost, won, told = draw[:n] < 0.05, (draw[:n] >= 0.05) & (draw[:n] < 0.08), known[:n]
            differ = lost | won
            pairs = Pairs(
                live=int((lost & told).sum()),
                candidate=int((won & told).sum()),
                agreed=int((~differ & told).sum()),
                unlabelled_agreed=int((~differ & ~told).sum()),
                unlabelled_differ=int((differ & ~told).sum()),
            )
            if decide(pairs, margin=0.02, labels_at_random=True).outcome == "promote":
                promoted += 1
                break

    assert promoted / 300 <= limit


def test_a_queue_of_differing_rows_does_not_remove_a_good_candidate() -> None:
    """Worse by less than the margin; only differing rows get labels, half of them, in time."""
    random = np.random.default_rng(6)
    removed = {False: 0, True: 0}
    for _ in range(100):
        draw = random.random(8000)
        lost, won = draw < 0.065, (draw >= 0.065) & (draw < 0.115)
        known = random.random(8000) < 0.5
        pairs = Pairs(
            live=int((lost & known).sum()),
            candidate=int((won & known).sum()),
            unlabelled_agreed=int((~lost & ~won).sum()),
            unlabelled_differ=int(((lost | won) & ~known).sum()),
        )
        for at_random in removed:
            decision = decide(pairs, margin=0.02, labels_at_random=at_random)
            removed[at_random] += decision.outcome == "roll back"

    assert removed[False] == 0
    # With the wrong word on the labels, more than the 5 of 100 that alpha allows.
    assert removed[True] > 5


def test_few_labels_at_random_decide_what_all_rows_leave_open() -> None:
    """A tenth of the rows has a label; the others would have to be counted against it."""
    pairs = Pairs(
        live=3, candidate=4, agreed=1993, unlabelled_agreed=17_000, unlabelled_differ=1000
    )

    assert decide(pairs, margin=0.01).outcome == "inconclusive"
    assert decide(pairs, margin=0.01, labels_at_random=True).outcome == "promote"


@pytest.mark.parametrize(("b", "c"), [(5, 15), (8, 24), (10, 30), (0, 0), (3, 3)])
def test_mcnemar_is_that_of_scipy(b: int, c: int) -> None:
    """A binomial test of the smaller count; mid-p takes off half of its point."""
    wanted = stats.binomtest(min(b, c), b + c).pvalue if b + c else 1.0

    assert mcnemar_exact(b, c) == pytest.approx(wanted, abs=1e-12)
    assert mcnemar_exact(b, c, mid=True) <= mcnemar_exact(b, c)


def test_the_interval_of_a_difference_covers() -> None:
    """3,000 simulated sets of 200 rows."""
    random = np.random.default_rng(8)
    drawn = random.multinomial(200, [0.06, 0.03, 0.91], size=3000)
    covered = [
        -0.03 in difference_interval(Pairs(live=b, candidate=c, agreed=a))[1]
        for b, c, a in drawn.tolist()
    ]

    assert 0.935 <= np.mean(covered) <= 0.975
    assert difference_interval(Pairs()) == (0.0, Interval(-1.0, 1.0))


def test_harm_is_above_all_that_was_possible_before() -> None:
    """Overlap is no proof."""
    assert harmed(Interval(0.02, 0.05), Interval(0.06, 0.1))
    assert not harmed(Interval(0.02, 0.05), Interval(0.06, 0.1), tolerance=0.02)
    assert not harmed(Interval(0.02, 0.05), Interval(0.04, 0.1))


@pytest.mark.parametrize(("margin", "alpha"), [(1.0, 0.05), (-0.1, 0.05), (0.01, 0), (0.01, 5)])
def test_shares_that_are_none_are_refused(margin: float, alpha: float) -> None:
    """5 for 5 % is a common slip."""
    with pytest.raises(ValueError, match="expected shares between 0 and 1"):
        decide(Pairs(), margin=margin, alpha=alpha)


@pytest.mark.parametrize("differ", [0, 3, 7, 12, 25])
def test_the_bound_of_disagreement_is_where_the_proof_without_labels_begins(differ: int) -> None:
    """A margin just above it promotes, one just below it does not."""
    pairs = Pairs(unlabelled_agreed=2000 - differ, unlabelled_differ=differ)
    bound = differs_at_most({1.0: pairs})

    assert differ / 2000 < bound < differ / 2000 + 0.012
    assert decide(pairs, margin=bound * 1.001).outcome == "promote"
    assert decide(pairs, margin=bound * 0.999).outcome == "inconclusive"
    assert differs_at_most({1.0: Pairs()}) == differs_at_most({}) == 1.0


def test_the_bound_of_disagreement_holds_at_all_times() -> None:
    """200 streams that differ on 2 % of rows, looked at 40 times each."""
    random = np.random.default_rng(11)
    seen = np.cumsum(random.binomial(50, 0.02, size=(200, 40)), axis=1)
    missed = sum(
        any(
            # The bound is below the truth where a margin of the truth is proven already.
            decide(
                Pairs(unlabelled_agreed=50 * look - differ, unlabelled_differ=differ), margin=0.02
            ).outcome
            == "promote"
            for look, differ in enumerate(stream, 1)
        )
        for stream in seen.tolist()
    )

    assert missed / 200 <= 0.05


def test_weights_make_up_for_rows_that_were_picked() -> None:
    """Every row in doubt is here, and a tenth of the others: as it is, it would look far worse."""
    doubtful = Pairs(live=30, candidate=6, agreed=964)
    others = Pairs(live=1, candidate=3, agreed=1796)

    together = decide(doubtful + others, margin=0.01)
    weighted = decide_weighted({0.1: doubtful, 1.0: others}, margin=0.01)

    # In the traffic: 24 of 1,000 rows less 2 of 18,000.
    assert weighted.outcome == "promote"
    assert together.outcome == "inconclusive"
    assert weighted.pairs == together.pairs
    with pytest.raises(ValueError, match="weight 2"):
        decide_weighted({2.0: others}, margin=0.01)


def test_weighted_rows_promote_no_inferior_candidate() -> None:
    """Worse by the margin in the traffic, with all its losses among rows that are all kept."""
    random = np.random.default_rng(12)
    promoted = 0
    for _ in range(200):
        # A fifth of the traffic is in doubt and kept, of the rest a fifth is.
        strata = {0.2: Pairs(), 1.0: Pairs()}
        for _ in range(20):
            doubt, rest = random.binomial(500, 0.2), random.binomial(400, 0.2)
            lost = random.binomial(doubt, 0.1)
            strata[0.2] += Pairs(live=lost, agreed=doubt - lost)
            strata[1.0] += Pairs(agreed=rest)
            if decide_weighted(strata, margin=0.02).outcome == "promote":
                promoted += 1
                break

    assert promoted / 200 <= 0.05
