# SPDX-License-Identifier: Apache-2.0
"""What every state can do: parts make the whole, in any order, and what was added goes again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.statistics.classifier import Classifier
from gateway.statistics.confusion import ConfusionMatrix
from gateway.statistics.multilabel import Multilabel
from gateway.statistics.prediction_powered import PredictionPowered
from gateway.statistics.probability import Calibration, Losses
from gateway.statistics.profile import NameProfile, NumberProfile
from gateway.statistics.ranking import Ranks, ScoreHistogram
from gateway.statistics.regression import Regression
from gateway.statistics.sketch import QuantileSketch
from gateway.statistics.unlabelled import ExpectedQuality

ROWS = 400
RANDOM = np.random.default_rng(3)
TRUE = RANDOM.integers(0, 3, ROWS)
SAID = np.where(RANDOM.random(ROWS) < 0.8, TRUE, RANDOM.integers(0, 3, ROWS))
# Multiples of powers of two, so that sums are exact and equality needs no tolerance.
SCORES = RANDOM.integers(1, 200, (ROWS, 3)) / 1024
WEIGHTS = RANDOM.integers(1, 5, ROWS) / 4
NUMBERS = RANDOM.integers(-800, 800, ROWS) / 8

CASES: dict[str, tuple[Callable[[], Any], tuple[Any, ...]]] = {
    "confusion": (ConfusionMatrix, (TRUE, SAID, WEIGHTS)),
    "listed": (lambda: ConfusionMatrix([2, 1]), (TRUE, SAID, WEIGHTS)),
    "names": (ConfusionMatrix, (TRUE.astype(str), SAID.astype(str))),
    "histogram": (lambda: ScoreHistogram(columns=3), (TRUE[:, None] == np.arange(3), SCORES)),
    "margins": (
        lambda: ScoreHistogram(columns=3, probabilities=False),
        (TRUE[:, None] == np.arange(3), SCORES * 4000 - 99, WEIGHTS),
    ),
    "ranks": (Ranks, (TRUE, SCORES, WEIGHTS)),
    "calibration": (Calibration, (TRUE == SAID, SCORES[:, 0], WEIGHTS)),
    "sketch": (QuantileSketch, (NUMBERS, WEIGHTS)),
    "numbers": (lambda: NumberProfile.fit(NUMBERS), (NUMBERS,)),
    "known names": (lambda: NameProfile(known=["0", "2"]), (TRUE.astype(str),)),
}
# Logarithms and divisions of data do not add up exactly.
ROUNDED: dict[str, tuple[Callable[[], Any], tuple[Any, ...]]] = {
    "multilabel": (lambda: Multilabel(labels=3), (SCORES > 0.1, SCORES > 0.12, WEIGHTS)),
    "losses": (Losses, (TRUE, SCORES, WEIGHTS)),
    "regression": (Regression, (NUMBERS, NUMBERS[::-1], WEIGHTS)),
    "classifier": (lambda: Classifier([0, 1, 2], scores=True), (TRUE, SAID, SCORES, WEIGHTS)),
    "expected": (lambda: ExpectedQuality(classes=3), (SAID, SCORES)),
}
ALL = {**CASES, **ROUNDED}


def whole(name: str, order: Any = slice(None)) -> Any:
    """A state with all rows, in *order*."""
    make, columns = ALL[name]
    state = make()
    state.add(*(column[order] for column in columns))
    return state


def plain(state: Any) -> Any:
    """All of a state, in a form that compares, whatever order it was met in."""
    if isinstance(state, ConfusionMatrix):
        matrix = state.matrix()
        return [matrix.classes.tolist(), matrix.counts.tolist(), matrix.weights.tolist(),
                matrix.squares.tolist(), matrix.listed]  # fmt: skip
    return msgspec.msgpack.encode(state.pack())


@pytest.mark.parametrize("name", CASES)
def test_order_does_not_matter(name: str) -> None:
    """Rows one way, the other way, and in three parts merged backwards are one state."""
    make, columns = ALL[name]
    merged = make()
    for part in (slice(300, None), slice(100, 300), slice(0, 100)):
        state = make()
        state.add(*(column[part] for column in columns))
        merged.merge(state)

    assert plain(whole(name)) == plain(whole(name, slice(None, None, -1))) == plain(merged)


@pytest.mark.parametrize("name", CASES)
def test_a_correction_restores_the_state_exactly(name: str) -> None:
    """Rows added and taken back leave nothing, by row and by merging."""
    _, columns = ALL[name]
    few = [column[:250] for column in columns]
    late = [column[250:] for column in columns]
    before = whole(name, slice(0, 250))
    state = whole(name)
    state.add(*late, sign=-1)
    again = whole(name)
    again.merge(whole(name, slice(250, None)), -1)

    assert plain(state) == plain(before) == plain(again)
    state.add(*few, sign=-1)
    assert plain(state) == plain(ALL[name][0]())


@pytest.mark.parametrize("name", ROUNDED)
def test_order_matters_in_the_last_digits_only(name: str) -> None:
    """Where sums are of rounded numbers, figures agree to rounding."""
    make, columns = ALL[name]
    merged = make()
    for part in (slice(300, None), slice(0, 300)):
        state = make()
        state.add(*(column[part] for column in columns))
        for sign in (1, -1, 1):
            merged.merge(state, sign)

    def figures(state: Any) -> list[float]:
        if isinstance(state, Losses):
            return [state.brier()[0], state.log_loss()[0]]
        if isinstance(state, Multilabel):
            return [state.hamming_loss(), float(state.samples().f), *state.outcomes().true.tolist()]
        if isinstance(state, Regression):
            return [state.mae()[0], state.rmse()[0], state.bias()[0], state.r2()[0],
                    state.r2()[1].lower, state.wape(), state.smape()]  # fmt: skip
        if isinstance(state, ExpectedQuality):
            return [state.accuracy().value, *state.outcomes().hit.tolist()]
        random = np.random.default_rng(1)
        return [one.value for one in state.figures(random).values()]

    np.testing.assert_allclose(figures(whole(name)), figures(merged), rtol=1e-10)
    backwards = whole(name, slice(None, None, -1))
    np.testing.assert_allclose(figures(whole(name)), figures(backwards), rtol=1e-10)


@pytest.mark.parametrize("name", ALL)
def test_a_copy_and_a_packed_state_are_the_same_and_apart(name: str) -> None:
    """Both go on without touching the first."""
    state = whole(name)
    packed = msgspec.msgpack.decode(msgspec.msgpack.encode(state.pack()))
    before = plain(state)
    for same in (state.copy(), type(state).unpack(packed)):
        assert plain(same) == before
        same.add(*ALL[name][1])
        assert plain(same) != before
    assert plain(state) == before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ConfusionMatrix([0, 1]), ConfusionMatrix([1, 0])),
        (ConfusionMatrix([0, 1]), ConfusionMatrix()),
        (Calibration(bins=10), Calibration(bins=15)),
        (QuantileSketch(error=0.01), QuantileSketch(error=0.02)),
        (Multilabel(labels=2), Multilabel(labels=3)),
        (Classifier([0, 1]), Classifier([0, 1], scores=True)),
    ],
)
def test_states_of_other_kinds_do_not_merge(one: Any, other: Any) -> None:
    """Sums under keys of another meaning would be nonsense."""
    with pytest.raises(ValueError, match=r"do not merge|other classes"):
        one.merge(other)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_that_are_none_are_refused(weight: float) -> None:
    """One bad weight would spoil a sum for good."""
    with pytest.raises(ValueError, match="weight that is negative or not finite"):
        ConfusionMatrix().add(np.zeros(2, int), np.zeros(2, int), np.asarray([1, weight]))


@pytest.mark.parametrize(
    ("state", "columns", "message"),
    [
        (ConfusionMatrix(), (np.zeros(2, int), np.zeros(3, int)), r"shape \[3\] for 2 rows"),
        (ConfusionMatrix(), (np.zeros(2), np.zeros(2)), "classes of float64"),
        (ConfusionMatrix(["a"]), (np.zeros(2, int), np.zeros(2, int)), "class 0 beside classes"),
        (ConfusionMatrix(), (np.zeros(1, int), np.zeros(1, int), np.ones(2)), r"weights of shape"),
        (Multilabel(labels=2), (np.zeros((2, 3)), np.zeros((2, 3))), r"expected \[rows, 2\]"),
        (Multilabel(labels=2), (np.full((1, 2), 2), np.zeros((1, 2))), "other than 0 and 1"),
        (Losses(), (np.zeros(1, int), np.asarray([[1.5, 0]])), "probability outside"),
        (ScoreHistogram(), (np.ones((1, 1)), np.asarray([[np.nan]])), "score that is not a finite"),
        (ScoreHistogram(), (np.ones((1, 1)), np.asarray([[2.0]])), "probability outside"),
        (ScoreHistogram(), (np.ones((1, 2)), np.ones((1, 2))), r"expected both \[rows, 1\]"),
        (Regression(), (np.ones(2), np.ones(3)), r"predicted values of shape \[3\] for 2 rows"),
        (QuantileSketch(), (np.asarray([np.inf]),), "value that is not a finite number"),
        (Classifier([0, 1], scores=True), (np.ones(1, int), np.ones(1, int)), "scores missing"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(
    state: Any, columns: tuple[Any, ...], message: str
) -> None:
    """The error says what is wrong with which column."""
    with pytest.raises(ValueError, match=message):
        state.add(*columns)


def test_a_state_of_other_tables_is_not_unpacked() -> None:
    """What comes from elsewhere is checked."""
    packed = Calibration().pack() | {"sums": Ranks().pack()["sums"]}
    with pytest.raises(ValueError, match="not those of Calibration"):
        Calibration.unpack(packed)


def test_a_label_moves_from_the_others_when_it_comes() -> None:
    """Rows without label become labelled ones, and nothing else remains."""
    state, direct = PredictionPowered(), PredictionPowered()
    estimates = np.asarray([0.5, 0.75, 0.25])
    state.add_others(estimates)
    state.add_others(estimates[:1], sign=-1)
    state.add_labelled(np.ones(1), estimates[:1])
    direct.add_others(estimates[1:])
    direct.add_labelled(np.ones(1), estimates[:1])

    assert state == direct
