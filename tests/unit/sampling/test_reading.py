# SPDX-License-Identifier: Apache-2.0
"""Reading: every way in which outputs say what is predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.sampling.meaning import Meaning
from gateway.sampling.reading import Read, Reader
from gateway.wire.samples import NO_CLASS
from tests.support.edge import Spec, model

LABEL: Spec = ("label", "INT64", (-1,))
SCORES: Spec = ("scores", "FP32", (-1, 3))
THREE = Meaning(names=("0", "1", "2"))
TWO = Meaning(names=("no", "yes"))
NAN = float("nan")


def reader(meaning: Meaning, *outputs: Spec) -> Reader:
    """A reader of a model with *outputs*."""
    made = Reader(meaning)
    made.fit(model(outputs=outputs))
    return made


def read(meaning: Meaning, *outputs: Spec, **arrays: Any) -> Read:
    """What *arrays* of a model with *outputs* say."""
    found = reader(meaning, *outputs).read({key: np.asarray(each) for key, each in arrays.items()})
    assert found is not None
    return found


def texts(*values: str) -> np.ndarray[Any, Any]:
    """An output of BYTES."""
    array = np.empty(len(values), dtype=object)
    array[:] = [value.encode() for value in values]
    return array


def test_class_is_said_and_scores_stand_beside_it() -> None:
    """What is said counts, whatever the scores say."""
    found = read(THREE, LABEL, SCORES, label=[2, 0], scores=[[0.2, 0.7, 0.1], [1.0, 0.0, 0.0]])

    assert found.predicted.tolist() == [2, 0]
    assert found.predicted.dtype == np.int32
    assert found.probabilities is not None
    assert found.probabilities.tolist() == [[0.2, 0.7, 0.1], [1.0, 0.0, 0.0]]


def test_highest_score_is_the_class_where_none_is_said() -> None:
    """So it is where the client has asked for the scores alone."""
    scores = np.asarray([[0.2, 0.7, 0.1]])
    assert read(THREE, SCORES, scores=scores).predicted.tolist() == [1]

    alone = reader(THREE, LABEL, SCORES).read({"scores": scores})
    assert alone is not None
    assert alone.predicted.tolist() == [1]


def test_class_alone_has_no_probabilities() -> None:
    """Where the client has not asked for the scores."""
    alone = reader(THREE, LABEL, SCORES).read({"label": np.asarray([1])})
    assert alone is not None
    assert (alone.predicted.tolist(), alone.probabilities) == ([1], None)


def test_other_outputs_say_nothing() -> None:
    """Then there is no prediction."""
    assert reader(THREE, LABEL, SCORES).read({"embedding": np.zeros((1, 4))}) is None


@pytest.mark.parametrize(
    ("names", "said", "expected"),
    [
        (("0", "1", "2"), [0, 2, 3, -1], [0, 2, NO_CLASS, NO_CLASS]),
        # Names that are numbers are those numbers, not their places.
        (("3", "5", "9"), [9, 3, 0], [2, 0, NO_CLASS]),
        (("malignant", "benign"), [1, 0, 2], [1, 0, NO_CLASS]),
    ],
)
def test_numbers_are_names_where_names_are_numbers(
    names: tuple[str, ...], said: list[int], expected: list[int]
) -> None:
    """And places where names are words."""
    found = read(Meaning(names=names), LABEL, label=said)
    assert found.predicted.tolist() == expected


def test_words_are_names() -> None:
    """As the step `labels` gives them."""
    found = read(TWO, ("label", "BYTES", (-1,)), label=texts("yes", "no", "perhaps"))
    assert found.predicted.tolist() == [1, 0, NO_CLASS]


def test_scores_that_do_not_add_up_are_logits() -> None:
    """And become probabilities; large ones do not overflow."""
    found = read(THREE, SCORES, scores=[[1000.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert found.probabilities is not None
    assert found.probabilities[0].tolist() == [1.0, 0.0, 0.0]
    assert found.probabilities[1] == pytest.approx([1 / 3] * 3)


def test_what_was_a_logit_stays_one() -> None:
    """A later batch whose logits happen to look like probabilities is read the same way."""
    made = reader(THREE, SCORES)
    made.read({"scores": np.asarray([[5.0, 0.0, -5.0]])})
    found = made.read({"scores": np.asarray([[1.0, 0.0, 0.0]])})
    assert found is not None
    assert found.probabilities is not None
    assert found.probabilities[0] == pytest.approx(np.exp([1, 0, 0]) / (np.e + 2))


def test_halves_are_probabilities_in_spite_of_rounding() -> None:
    """Sums of FP16 miss 1 by a little."""
    scores = np.full((1, 1000), 1 / 1000, np.float16)
    meaning = Meaning(names=tuple(map(str, range(1000))))
    found = read(meaning, ("scores", "FP16", (-1, 1000)), scores=scores)
    assert found.probabilities is not None
    assert found.probabilities.max() == pytest.approx(1 / 1000, rel=1e-3)


def test_scores_that_are_no_numbers_are_no_class() -> None:
    """And count as wrong, not as missing."""
    found = read(THREE, SCORES, scores=[[NAN, 0.5, 0.5], [0.1, 0.1, 0.8]])
    assert found.predicted.tolist() == [NO_CLASS, 2]
    assert found.probabilities is not None
    assert found.probabilities.tolist() == [[0, 0, 0], [0.1, 0.1, 0.8]]


@pytest.mark.parametrize("positive", [0, 1])
def test_one_score_is_that_of_the_positive_class(positive: int) -> None:
    """It is said from the threshold on."""
    meaning = Meaning(names=("a", "b"), positive=positive, threshold=0.7)
    found = read(meaning, ("p", "FP32", (-1, 1)), p=[[0.75], [0.625]])

    assert found.predicted.tolist() == [positive, 1 - positive]
    assert found.probabilities is not None
    assert found.probabilities[:, positive].tolist() == [0.75, 0.625]
    assert found.probabilities.sum(axis=1).tolist() == [1, 1]


def test_highest_scores_come_with_their_classes() -> None:
    """As the step `top_k` gives them."""
    outputs: list[Spec] = [("s", "FP32", (-1, 2)), ("s_indices", "INT64", (-1, 2))]
    found = read(THREE, *outputs, s=[[0.6, 0.3]], s_indices=[[2, 0]])

    assert found.predicted.tolist() == [2]
    assert found.columns is not None
    assert found.columns.tolist() == [[2, 0]]


def test_sets_of_labels_are_bits() -> None:
    """Of scores from the threshold on, or as the model says them."""
    meaning = Meaning(task="multilabel", names=("a", "b", "c"), threshold=0.4)
    scored = read(meaning, SCORES, scores=[[0.4, 0.3, 0.9], [0, 0, 0]])
    assert scored.predicted.tolist() == [0b101, 0]
    assert scored.predicted.dtype == np.uint64

    said = read(meaning, ("said", "INT64", (-1, 3)), SCORES, said=[[0, 1, 0]], scores=[[1, 0, 0]])
    assert said.predicted.tolist() == [0b010]
    assert said.probabilities is not None


def test_a_number_is_a_value() -> None:
    """Of floats, or of the only output where that is whole."""
    meaning = Meaning(task="regression")
    assert read(meaning, ("y", "FP32", (-1, 1)), y=[[1.5], [2]]).predicted.tolist() == [1.5, 2.0]
    assert read(meaning, ("y", "INT64", (-1,)), y=[3]).predicted.tolist() == [3.0]


def test_confidence_is_the_highest_probability() -> None:
    """Of several labels, that of the least sure one."""
    assert Read(np.zeros(1, np.int32)).confidence() is None
    one = Read(np.zeros(1, np.int32), np.asarray([[0.2, 0.8]]))
    many = Read(np.zeros(1, np.uint64), np.asarray([[0.1, 0.6]]))
    for read_, expected in ((one, 0.8), (many, 0.6)):
        found = read_.confidence()
        assert found is not None
        assert found.tolist() == [expected]


@pytest.mark.parametrize(
    ("meaning", "outputs", "message"),
    [
        (THREE, [("y", "FP32", (-1, 4))], "output 'y' has 4 columns, and there are 3 classes"),
        (THREE, [("y", "FP32", (-1, 2, 2))], "no output says a class"),
        (
            Meaning(names=("a", "b"), output="nope"),
            [SCORES],
            "no output 'nope'; the model has: ",
        ),
        (Meaning(task="regression"), [("y", "FP32", (-1, 2))], "no output says a number"),
        (Meaning(task="multilabel", names=("a", "b")), [SCORES], "has 3 columns, and there are 2"),
    ],
)
def test_a_model_that_cannot_be_read_is_named_at_once(
    meaning: Meaning, outputs: list[Spec], message: str
) -> None:
    """Not when the first answer comes."""
    with pytest.raises(ValueError, match=message):
        reader(meaning, *outputs)


def test_an_answer_of_another_shape_is_an_error() -> None:
    """A free dimension may turn out to be another one than that of the classes."""
    made = reader(THREE, ("y", "FP32", (-1, -1)))
    with pytest.raises(ValueError, match="4 scores for 3 classes"):
        made.read({"y": np.zeros((1, 4))})
