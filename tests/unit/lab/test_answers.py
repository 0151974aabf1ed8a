# SPDX-License-Identifier: Apache-2.0
"""Which outputs say what is predicted, and what they say."""

from typing import Any

import numpy as np
import pytest

from gateway.lab import LabError
from gateway.lab.answers import columns_of, predicted_of, prediction_of, scores_of
from gateway.wire.model import TensorSpec
from gateway.wire.prediction import Prediction
from gateway.wire.tensor import Array

LABEL = TensorSpec("label", "INT64", (-1,))
COLUMN = TensorSpec("column", "INT32", (-1, 1))
NAME = TensorSpec("name", "BYTES", (-1,))
SCORES = TensorSpec("scores", "FP32", (-1, 10))
SCORE = TensorSpec("score", "FP32", (-1, 1))
BOXES = TensorSpec("boxes", "INT64", (-1, 4))


@pytest.mark.parametrize(
    ("outputs", "name", "chosen", "rule"),
    [
        ([SCORES, LABEL], None, "label", "class"),
        ([BOXES, COLUMN], None, "column", "class"),
        ([SCORES, NAME], None, "name", "class"),
        ([SCORE, SCORES], None, "scores", "argmax"),
        ([LABEL, SCORES], "scores", "scores", "argmax"),
    ],
)
def test_the_prediction_is_a_class_or_the_highest_of_a_row(
    outputs: list[TensorSpec], name: str | None, chosen: str, rule: str
) -> None:
    """A whole number or text a row comes first, then a row of floats; a name decides alone."""
    prediction = prediction_of(outputs, name, bare=False)

    assert (prediction.output.name, prediction.rule) == (chosen, rule)


def test_without_batch_dimension_the_whole_shape_is_a_row() -> None:
    """Scores of one row are a vector."""
    prediction = prediction_of([TensorSpec("scores", "FP32", (10,))], None, bare=True)

    assert prediction.rule == "argmax"


@pytest.mark.parametrize(
    ("outputs", "name", "message"),
    [
        ([LABEL], "class", r"no output 'class'; the model has: label INT64 \[-1\]"),
        ([SCORE, BOXES], None, r"no output says a class: .* score FP32 \[-1, 1\]"),
        ([SCORE, LABEL], "score", "no output says a class"),
    ],
)
def test_outputs_that_say_no_class_are_refused(
    outputs: list[TensorSpec], name: str | None, message: str
) -> None:
    """The line lists what the model has."""
    with pytest.raises(LabError, match=message):
        prediction_of(outputs, name, bare=False)


@pytest.mark.parametrize(
    ("prediction", "array", "expected"),
    [
        (Prediction(LABEL, "class"), np.asarray([3, 1]), [3, 1]),
        (Prediction(COLUMN, "class"), np.asarray([[3], [1]], dtype=np.int32), [3, 1]),
        (Prediction(NAME, "class"), np.asarray([b"cat", b"\xff"], dtype=object), ["cat", "\ufffd"]),
        (Prediction(SCORES, "argmax"), np.asarray([[0.1, 0.9], [0.5, 0.5]]), [1, 0]),
        (
            Prediction(TensorSpec("s", "BF16", (-1, 2)), "argmax"),
            np.asarray([[0xC000, 0xBF80], [0x3F80, 0x0000]], dtype="<u2"),  # -2, -1; 1, 0
            [1, 0],
        ),
    ],
)
def test_classes_are_read_by_the_rule(
    prediction: Prediction, array: Array, expected: list[Any]
) -> None:
    """One class a row; the first of equal scores wins."""
    assert predicted_of(array, prediction, 2).tolist() == expected


@pytest.mark.parametrize(
    ("prediction", "array"),
    [
        (Prediction(LABEL, "class"), np.asarray([3])),
        (Prediction(LABEL, "class"), np.asarray([[3, 1], [1, 1]])),
        (Prediction(LABEL, "class"), np.asarray(3)),
        (Prediction(SCORES, "argmax"), np.asarray([0.1, 0.9])),
        (Prediction(SCORES, "argmax"), np.asarray([[0.1, np.nan], [0, 1]])),
    ],
)
def test_an_answer_of_another_shape_is_refused(prediction: Prediction, array: Array) -> None:
    """A wrong count must not shift classes to other rows."""
    with pytest.raises(LabError, match="output '"):
        predicted_of(array, prediction, 2)


@pytest.mark.parametrize(
    ("outputs", "task", "output", "rule", "scores"),
    [
        ([SCORES, LABEL], "classification", "label", "class", "scores"),
        ([LABEL], "classification", "label", "class", None),
        ([SCORES], "classification", "scores", "argmax", "scores"),
        ([SCORE, SCORES], "regression", "score", "value", None),
        ([SCORE, SCORES], "multilabel", "scores", "above half", None),
        ([SCORES, BOXES], "multilabel", "boxes", "labels", None),
    ],
)
def test_each_task_has_its_outputs(
    outputs: list[TensorSpec], task: Any, output: str, rule: str, scores: str | None
) -> None:
    """Classes with the scores behind them, one float, a row of labels."""
    prediction = prediction_of(outputs, None, bare=False, task=task)

    assert (prediction.output.name, prediction.rule) == (output, rule)
    assert (prediction.scores and prediction.scores.name) == scores
    assert [one.name for one in prediction.outputs] == list(
        dict.fromkeys([output, scores or output])
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "regression"}, "no output says a number: labels are fractions"),
        ({"task": "multilabel", "name": "label"}, "no output says labels"),
        ({"scores": "label"}, "no output 'label' with a row of floats"),
    ],
)
def test_outputs_that_do_not_fit_the_labels_are_refused(
    options: dict[str, Any], message: str
) -> None:
    """The line says what the labels ask for."""
    name = options.pop("name", None)
    with pytest.raises(LabError, match=message):
        prediction_of([LABEL, SCORES], name, bare=False, **options)


def test_labels_and_values_are_read_by_their_rules() -> None:
    """0 and 1 a label, a score above one half, a number a row."""
    half = Prediction(SCORES, "above half")
    bits = Prediction(BOXES, "labels")
    value = Prediction(SCORE, "value")

    assert predicted_of(np.asarray([[0.4, 0.6]]), half, 1).tolist() == [[False, True]]
    assert predicted_of(np.asarray([[0, 1, 0, 1]]), bits, 1).tolist() == [
        [False, True, False, True]
    ]
    assert predicted_of(np.asarray([[1.5], [2.5]]), value, 2).tolist() == [1.5, 2.5]


def test_scores_are_rows_or_nothing() -> None:
    """A vector beside the classes is refused."""
    prediction = Prediction(LABEL, "class", SCORES)

    found = scores_of(np.asarray([[0.1, 0.9]]), prediction, 1)
    assert found is not None
    assert found.tolist() == [[0.1, 0.9]]
    assert scores_of(np.asarray([1]), Prediction(LABEL, "class"), 1) is None
    with pytest.raises(LabError, match=r"output 'scores' has shape \[1\]; expected \[1, classes\]"):
        scores_of(np.asarray([1.0]), prediction, 1)


@pytest.mark.parametrize(
    ("predicted", "truth", "highest", "expected"),
    [
        ([0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2]),
        # Never said, yet numbers are their own columns.
        ([0, 0, 0], [0, 1, 2], [0, 0, 0], [0, 1, 2]),
        # Classes that count from 1.
        ([1, 2, 3], [1, 2, 3], [0, 1, 2], [1, 2, 3]),
        # Columns in another order, shown by what is said together with them.
        ([2, 1, 0], [2, 1, 0], [0, 1, 2], [2, 1, 0]),
        (["cat", "dog", "emu"], ["cat", "dog", "emu"], [2, 0, 1], ["dog", "emu", "cat"]),
        # The one class that is left belongs to the one column that is left.
        (["cat", "dog", "dog"], ["cat", "dog", "emu"], [2, 0, 0], ["dog", "emu", "cat"]),
        (["cat", "cat", "cat"], ["cat", "dog", "emu"], [0, 0, 0], None),
        (["cat", "cat", "dog"], ["cat", "cat", "dog"], [0, 1, 2], None),
    ],
)
def test_columns_of_scores_are_named_by_what_is_said_with_them(
    predicted: list[Any], truth: list[Any], highest: list[int], expected: list[Any] | None
) -> None:
    """Or by their number, or not at all."""
    scores = np.eye(3)[highest]

    assert columns_of(np.asarray(predicted), np.asarray(truth), scores) == expected
