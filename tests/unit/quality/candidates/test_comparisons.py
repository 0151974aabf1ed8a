# SPDX-License-Identifier: Apache-2.0
"""Comparisons: what pairs of answers prove, with labels and without, and for which files."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from gateway.quality.candidates.comparisons import Comparisons, Plan, rows_needed
from gateway.statistics.betting import not_worse
from gateway.statistics.comparison import Pairs, wealth_of
from tests.support.pairs import labelled, shadowed

PLAN = Plan(candidate="c", margin=0.02, min_rows=1)


def comparing(plan: Plan = PLAN, *, since: float = 0.0) -> Comparisons:
    """One that follows *plan* for the model m."""
    made = Comparisons(random=Random(1))
    made.follow({"m": plan}, {"m": since})
    return made


def outcome(of: Comparisons) -> str:
    """What it has decided of m's candidate."""
    evidence = of.evidence("m")
    assert evidence is not None
    return evidence.decision.outcome


def differing(rows: int, differ: int) -> tuple[list[int], list[int]]:
    """What a model and its candidate say to *rows*, *differ* of which they do not agree on."""
    return [0] * rows, [1] * differ + [0] * (rows - differ)


def test_little_disagreement_promotes_without_a_label_and_a_little_more_does_not() -> None:
    """The bound of the disagreement, valid at all times, is below the margin or is not."""
    found = {}
    for differ in range(40):
        here = comparing()
        here.predicted(shadowed(*differing(2000, differ)))
        evidence = here.evidence("m")
        assert evidence is not None
        found[differ] = evidence
    promoted = [differ for differ, each in found.items() if each.decision.outcome == "promote"]
    last = max(promoted)

    assert promoted == list(range(last + 1))
    assert found[last].at_most < 0.02 <= found[last + 1].at_most
    assert found[last].decision.without_labels
    assert "none of which has a label" in found[last].decision.sentence


def test_ten_thousand_inferior_candidates_are_promoted_in_one_of_twenty_at_most() -> None:
    """Each worse by exactly the margin, looked at after every batch, all rows labelled."""
    random = np.random.default_rng(7)
    plan = Plan(candidate="c", margin=0.1, min_rows=1)
    zeros = np.zeros(80, dtype=np.int32)
    false = 0
    here = Comparisons(random=Random(1))
    for run in range(10_000):
        # A time of its own begins anew, so that one serves for all.
        here.follow({"m": plan}, {"m": run * 1000.0})
        draws = random.random((4, 80))
        for look, draw in enumerate(draws):
            # 13 % are lost and 3 % won.
            live = (draw < 0.03).astype(np.int32)
            candidate = ((draw >= 0.03) & (draw < 0.16)).astype(np.int32)
            start = run * 1000.0 + 80.0 * look
            pairing = here._pairing("m", ("live", "candidate"), start)
            times, ones = start + np.arange(80.0), np.ones(80)
            pairing.add(live, candidate, times, ones)
            pairing.label(live, candidate, true=zeros, signs=ones, times=times, weights=ones)
            if wealth_of(pairing.strata, margin=plan.margin)[0] >= 1 / plan.alpha:
                false += 1
                break

    assert 0 < false / 10_000 <= 0.05


@pytest.mark.parametrize(
    ("disagreement", "fixed", "least"), [(0.02, 1237, 0.25), (0.05, 3091, 0.33)]
)
def test_its_power_beside_that_of_one_look_at_a_fixed_number(
    disagreement: float, fixed: int, least: float
) -> None:
    """A/B: as right as the model, margin one point; one look at *fixed* rows promotes 80 % of them.

    What may be looked at always has less there, and has the same at two and a half times the rows.
    """
    random = np.random.default_rng(13)
    half = disagreement / 2
    draws = random.multinomial(50, [half, half, 1 - disagreement], size=(400, fixed // 20))
    counts = draws.cumsum(axis=1)
    b, c, same = counts[..., 0], counts[..., 1], counts[..., 2]
    promoted = np.maximum.accumulate(not_worse(b, c, same, margin=0.01) >= 20, axis=1).mean(axis=0)

    assert least - 0.08 <= promoted[fixed // 50 - 1] <= 0.8
    assert promoted[-1] >= 0.78
    assert (np.diff(promoted) >= 0).all()


def test_labels_tell_the_good_from_the_bad() -> None:
    """A/B: one that loses 1 % and one that loses 12 %, at a margin of 5 %, within 1,500 rows."""
    random = np.random.default_rng(9)
    outcomes: dict[float, list[str]] = {0.01: [], 0.12: []}
    for lost, told in outcomes.items():
        for _ in range(60):
            here = comparing(Plan(candidate="c", margin=0.05, min_rows=1))
            for look in range(15):
                draw = random.random(100)
                candidate = (draw < lost).astype(np.int32)
                live, true = np.zeros(100), np.zeros(100)
                here.predicted(shadowed(live, candidate, start=100.0 * look))
                here.joined(labelled(live, candidate, true, start=100.0 * look))
                if outcome(here) != "inconclusive":
                    break
            told.append(outcome(here))

    assert outcomes[0.01].count("promote") >= 57
    assert outcomes[0.12].count("roll back") >= 57
    assert "promote" not in outcomes[0.12]


def test_labels_of_differing_rows_decide() -> None:
    """Those that agree need none; a corrected label counts the other way."""
    live, candidate = differing(3000, 100)
    here = comparing()
    here.predicted(shadowed(live, candidate))
    before = outcome(here)
    here.joined(labelled(live[:100], candidate[:100], [1] * 60 + [0] * 40))
    after = outcome(here)
    here.joined(labelled(live[:60], candidate[:60], [1] * 60, sign=np.full(60, -1, np.int8)))
    here.joined(labelled(live[:60], candidate[:60], [0] * 60))
    evidence = here.evidence("m")

    assert (before, after) == ("inconclusive", "promote")
    assert evidence is not None
    assert (evidence.decision.pairs.live, evidence.decision.pairs.candidate) == (100, 0)


def test_a_candidate_that_answers_clients_is_compared_by_the_model_behind_it() -> None:
    """The model is its shadow then, and the sides are the same as before."""
    here = comparing()
    live, candidate = differing(1000, 300)
    here.predicted(shadowed(live, candidate))
    turned = shadowed(candidate, live, name="m", digest="live", live_digest="candidate")
    here.predicted(turned)
    rows = labelled(candidate, live, [0] * 1000, name="m", digest="live", live_digest="candidate")
    here.joined(rows)
    evidence = here.evidence("m")

    assert evidence is not None
    assert (evidence.model, evidence.candidate) == ("live", "candidate")
    assert evidence.decision.pairs == Pairs(
        live=300, agreed=700, unlabelled_agreed=700, unlabelled_differ=300
    )


def test_another_file_begins_anew() -> None:
    """What was proven of one says nothing of the other; late news of the old one change nothing."""
    here = comparing()
    here.predicted(shadowed(*differing(2000, 0)))
    here.predicted(shadowed(*differing(10, 5), digest="other", start=5000.0))
    here.predicted(shadowed(*differing(100, 0)))
    evidence = here.evidence("m")

    assert evidence is not None
    assert (evidence.candidate, evidence.decision.pairs.rows) == ("other", 10)
    for number in range(9):
        here.predicted(shadowed([0], [0], digest=f"file-{number}", start=6000.0 + number))
    assert len(here._pairings["m"]) == 4


def test_rows_that_a_rule_has_picked_weigh_less() -> None:
    """Ten times as likely to be here, a tenth of the weight."""
    here = comparing(Plan(candidate="c", margin=0.02, min_rows=1, sample=0.1))
    here.predicted(shadowed(*differing(2000, 0), pi=0.1))
    here.predicted(shadowed(*differing(100, 30), pi=1.0, start=5000.0))
    weighted = here.evidence("m")
    plain = comparing()
    plain.predicted(shadowed(*differing(2000, 0)))
    plain.predicted(shadowed(*differing(100, 30), start=5000.0))

    assert weighted is not None
    assert sorted(here._pairings["m"]["live", "candidate"].strata) == pytest.approx([0.1, 1.0])
    assert (weighted.decision.outcome, outcome(plain)) == ("promote", "inconclusive")


def test_one_annotator_counts() -> None:
    """A second opinion on a row is no second row."""
    here = comparing()
    live, candidate = differing(10, 10)
    here.predicted(shadowed(live, candidate))
    here.joined(labelled(live, candidate, [0] * 10))
    here.joined(labelled(live, candidate, [1] * 10, sources=["second"]))
    evidence = here.evidence("m")

    assert evidence is not None
    assert evidence.decision.pairs == Pairs(live=10)


def test_what_is_no_pair_of_it_is_passed_over() -> None:
    """Live rows, shadows that are no candidate, models that nobody follows, rows of before."""
    here = comparing(since=100.0)
    pairs = differing(10, 3)
    here.predicted(shadowed(*pairs, role="live"))
    here.predicted(shadowed(*pairs, name="other"))
    here.predicted(shadowed(*pairs, model="x"))
    here.joined(labelled(*pairs, [0] * 10))
    assert here.evidence("m") is None
    here.predicted(shadowed(*pairs))
    here.joined(labelled(*pairs, [0] * 10))
    evidence = here.evidence("m")

    assert evidence is not None
    assert evidence.decision.pairs.rows == 0
    assert here.requests["m"].listed(10) == []


def test_the_model_beside_itself_tells_the_noise() -> None:
    """Another session of the same file, as a shadow that is no candidate."""
    here = comparing()
    here.predicted(shadowed(*differing(100, 0)))
    here.predicted(shadowed(*differing(1000, 2), name="twin", digest="live"))
    evidence = here.evidence("m")

    assert evidence is not None
    assert evidence.noise is not None
    assert evidence.noise[:2] == (1000, 2)
    assert evidence.noise[2].lower < 0.002 < evidence.noise[2].upper < 0.02


def test_a_change_of_the_plan_goes_on_and_another_candidate_does_not() -> None:
    """Nor does another beginning."""
    here = comparing()
    here.predicted(shadowed(*differing(100, 0)))
    here.follow({"m": Plan(candidate="c", margin=0.5)}, {"m": 0.0})
    kept = here.evidence("m")
    here.follow({"m": Plan(candidate="c", margin=0.5)}, {"m": 1.0})
    assert kept is not None
    assert here.evidence("m") is None
    here.predicted(shadowed(*differing(100, 0)))
    here.follow({"m": Plan(candidate="d")}, {"m": 1.0})
    assert here.evidence("m") is None
    here.follow({}, {})
    here.predicted(shadowed(*differing(100, 0)))
    assert here.evidence("m") is None


@pytest.mark.parametrize(("share", "rows"), [(0.02, 1237), (0.05, 3091)])
def test_the_rows_needed_are_those_of_the_formula(share: float, rows: int) -> None:
    """The examples of the literature, within a row: a margin of one point."""
    pairs = Pairs(unlabelled_agreed=round(10_000 * (1 - share)),
                  unlabelled_differ=round(10_000 * share))  # fmt: skip

    assert rows_needed(pairs, 0.01) == pytest.approx(rows, abs=1)
    assert rows_needed(Pairs(agreed=5), 0.01) is None


def test_label_requests_are_differing_rows_and_a_few_at_random() -> None:
    """The newest first, bounded, each with the probability by which it is here."""
    here = comparing()
    here.predicted(shadowed(*differing(5000, 1500), pi=0.5))
    requests = here.requests["m"]
    listed = requests.listed(100)
    kinds = [each.reason for each in listed]
    pi = {each.reason: each.pi for each in listed}

    assert len(requests) <= 2000
    assert (kinds.count("differs"), kinds.count("random")) == (90, 10)
    assert listed[0].time == 1499.0
    assert pi == {"differs": 0.5, "random": 0.005}
    requests.drop(requests.keys())
    assert requests.listed(10) == []
