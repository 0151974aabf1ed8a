# SPDX-License-Identifier: Apache-2.0
"""What the gate lets through, what it refuses, and what it says of it."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.lab.gate import Answers, Verdict, judge
from gateway.lab.harm import calibration_change
from gateway.statistics.probability import Calibration
from gateway.wire.tensor import Array


def _set(rows: int, *, lost: int = 0, won: int = 0, moved: int = 0) -> tuple[Array, Array, Array]:
    """Labels 0 and 1 in turn, and two predictions; *moved* rows are wrong in two ways."""
    labels = np.arange(rows) % 2
    before, after = labels.copy(), labels.copy()
    after[:lost] = 9
    before[lost : lost + won] = 9
    before[rows - moved :], after[rows - moved :] = 7, 8
    return labels, before, after


def _judge(rows: int, *, margin: float = 0.01, same_model: bool = False, **counts: int) -> Verdict:
    labels, before, after = _set(rows, **counts)
    return judge(
        Answers(before), Answers(after), labels, "classification",
        margin=margin, same_model=same_model,
    )  # fmt: skip


def test_enough_equal_rows_prove_it_and_fewer_do_not() -> None:
    """299 rows without a difference show one per cent at 5 %; 298 do not, and it says so."""
    enough, few = _judge(300), _judge(290)

    assert (enough.outcome, enough.passed) == ("proven", True)
    assert (few.outcome, few.passed) == ("not proven", False)
    assert few.rows_needed == 299
    assert "it takes about 299 rows like these" in few.sentence


def test_gains_pay_for_losses() -> None:
    """Only the balance counts, and the noise of both."""
    assert _judge(2000, lost=5, won=5).outcome == "proven"
    assert _judge(2000, lost=10).outcome == "proven"
    assert _judge(2000, lost=16).outcome == "not proven"


def test_a_point_difference_within_the_margin_is_no_proof() -> None:
    """Half a point lost of a margin of one, on 400 rows: that may be twice as much as it looks."""
    verdict = _judge(400, lost=2)

    assert verdict.before is not None
    assert verdict.after is not None
    assert verdict.before - verdict.after == pytest.approx(0.005)
    assert verdict.outcome == "not proven"
    assert verdict.rows_needed is not None
    assert verdict.rows_needed > 400


def test_what_is_shown_to_be_worse_is_called_so() -> None:
    """Not merely unproven, and no number of rows would prove it."""
    verdict = _judge(1000, lost=60)

    assert verdict.outcome == "harmed"
    assert verdict.rows_needed is None
    assert "worse by more than 1.00% of rows" in verdict.sentence


def test_rows_that_are_wrong_in_two_ways_are_not_counted_against_it() -> None:
    """They differ, and cost nothing."""
    verdict = _judge(2000, moved=100)

    assert (verdict.differ, verdict.lost, verdict.won) == (100, 0, 0)
    assert verdict.outcome == "proven"


def test_a_rare_class_that_goes_lost_is_found() -> None:
    """Nine rows of ten thousand are nothing to the accuracy and everything to their class."""
    labels = np.zeros(10_000, dtype=np.int64)
    labels[:9] = 1
    after = labels.copy()
    after[:9] = 0

    verdict = judge(Answers(labels), Answers(after), labels, "classification", margin=0.005)

    assert verdict.p_value is not None
    assert verdict.p_value < 0.05
    assert verdict.outcome == "harmed"
    assert "class 1 loses recall, 1.000 to 0.000" in verdict.sentence
    assert [one.harmed for one in verdict.classes] == [False, True]


def test_probabilities_that_drift_are_found() -> None:
    """The same classes, stated with less confidence than they deserve."""
    labels = np.arange(2000) % 2
    sure, unsure = np.eye(2)[labels] * 0.96 + 0.02, np.eye(2)[labels] * 0.2 + 0.4

    verdict = judge(
        Answers(labels, sure), Answers(labels, unsure), labels, "classification", margin=0.01
    )

    assert verdict.outcome == "harmed"
    assert "calibration error rises from 0.020 to 0.400" in verdict.sentence


def test_the_calibration_error_is_that_of_the_metrics() -> None:
    """Two ways of writing one formula."""
    random = np.random.default_rng(3)
    scores = random.dirichlet([1, 1, 1], 500)
    right = random.random(500) < 0.6
    state = Calibration()
    state.add(right, scores.max(axis=1))

    change = calibration_change(scores, scores, right, right, level=0.95)

    assert change is not None
    assert change.before == pytest.approx(state.ece(), rel=1e-12)
    assert (change.lower, change.upper) == (0, 0)
    assert calibration_change(scores * 2, scores, right, right, level=0.95) is None


def test_rows_without_labels_can_prove_it() -> None:
    """A model is worse on no more rows than it differs on."""
    labels, before, after = _set(100)
    many, few = np.zeros(5000, int), np.zeros(100, int)

    def outcome(unlabelled: Array) -> str:
        return judge(
            Answers(before, unlabelled=unlabelled), Answers(after, unlabelled=unlabelled), labels,
            "classification", margin=0.01,
        ).outcome  # fmt: skip

    assert outcome(many) == "proven"
    assert outcome(few) == "not proven"


def test_without_any_label_only_agreement_proves() -> None:
    """And the message says how much of it."""
    good = judge(Answers(np.ones(600)), Answers(np.ones(600)), None, "classification", margin=0.005)
    bad = judge(Answers(np.ones(500)), Answers(np.ones(500)), None, "classification", margin=0.005)

    assert good.outcome == "proven"
    assert bad.outcome == "not proven"
    assert "it takes 598 rows without any difference, or labels" in bad.sentence


def test_the_same_model_needs_no_proof_unless_its_predictions_differ() -> None:
    """Threads and batches change no answer; where they do, it is judged as any change."""
    assert _judge(10, same_model=True).outcome == "same"
    assert _judge(10, same_model=True, lost=1).outcome == "not proven"


def test_labels_of_many_are_right_as_a_whole() -> None:
    """A row is right when all of its labels are."""
    labels = np.ones((400, 3), dtype=bool)
    after = labels.copy()
    after[:40, 1] = False

    verdict = judge(Answers(labels), Answers(after), labels, "multilabel", margin=0.01)

    assert (verdict.lost, verdict.outcome) == (40, "harmed")


def test_numbers_are_judged_by_their_errors() -> None:
    """The rise of the mean absolute error, relative to what it was."""
    random = np.random.default_rng(5)
    labels = random.normal(size=2000)
    before = labels + random.normal(size=2000)

    def outcome(after: Array) -> str:
        return judge(Answers(before), Answers(after), labels, "regression", margin=0.01).outcome

    assert outcome(before + 1e-4) == "proven"
    assert outcome(labels + (before - labels) * 1.2) == "harmed"
    assert outcome(labels + (before - labels) * random.normal(1, 1, size=2000)) != "proven"
    assert judge(
        Answers(before), Answers(before), labels, "regression", margin=0.01, same_model=True
    ).passed


@pytest.mark.parametrize(("margin", "alpha"), [(0.0, 0.05), (1.5, 0.05), (0.01, 1.0)])
def test_what_is_no_share_is_refused(margin: float, alpha: float) -> None:
    """Both values are named."""
    with pytest.raises(ValueError, match="expected shares between 0 and 1"):
        judge(
            Answers(np.ones(3)), Answers(np.ones(3)), np.ones(3), "classification",
            margin=margin, alpha=alpha,
        )  # fmt: skip
