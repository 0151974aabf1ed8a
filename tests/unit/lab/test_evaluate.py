# SPDX-License-Identifier: Apache-2.0
"""Which output is the prediction, and how the classes of all rows come together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from gateway.lab import LabError
from gateway.lab.client import Client
from gateway.lab.dataset import fit
from gateway.lab.evaluate import Prediction, classes_of, predict, prediction_of, run
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Array, Tensor

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
    assert classes_of(array, prediction, 2).tolist() == expected


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
        classes_of(array, prediction, 2)


class Echo:
    """A client whose predicted class is the row's first value; fails from row *fails_at* on."""

    def __init__(self, fails_at: float = float("inf")) -> None:
        self.sizes: list[int] = []
        self._fails_at = fails_at

    async def predict(
        self, inputs: Sequence[Tensor], output: TensorSpec, *, bare: bool = False
    ) -> Array:
        """The first column."""
        first: Array = inputs[0].array()[:, 0].astype(np.int64)
        self.sizes.append(len(first))
        if first[-1] >= self._fails_at:
            raise LabError("row refused")
        return first


@pytest.mark.parametrize("concurrency", [1, 3, 100])
async def test_every_row_is_predicted_once_and_in_its_place(concurrency: int) -> None:
    """However many requests are in flight, class i belongs to row i."""
    rows = np.arange(25, dtype=np.float32).reshape(25, 1)
    data = {"inputs": rows, "labels": np.zeros(25, dtype=int)}
    dataset = fit("f", data, [TensorSpec("x", "FP32", (-1, 1))], rows=4)
    done: list[int] = []
    echo = Echo()

    classes = await predict(
        cast("Client", echo), dataset, Prediction(LABEL, "class"),
        concurrency=concurrency, done=done.append,
    )  # fmt: skip

    assert classes.tolist() == list(range(25))
    assert sorted(echo.sizes) == [1, 4, 4, 4, 4, 4, 4]
    assert sum(done) == 25


async def test_the_first_refusal_ends_it() -> None:
    """A figure over a part of the rows would be wrong; the reason passes on."""
    data = {"inputs": np.arange(9.0).reshape(9, 1), "labels": np.zeros(9, dtype=int)}
    dataset = fit("f", data, [TensorSpec("x", "FP32", (-1, 1))], rows=1)

    with pytest.raises(LabError, match="row refused"):
        await predict(
            cast("Client", Echo(fails_at=3)), dataset, Prediction(LABEL, "class"),
            concurrency=2, done=lambda _: None,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "missing.npz"}, "missing.npz: no such file"),
        ({"url": "nowhere"}, "URL 'nowhere': expected http://HOST:PORT"),
        ({"batch": 0}, "batch 0, concurrency 4: expected 1 or more"),
        ({"concurrency": 0}, "expected 1 or more"),
        ({"level": 95}, "level 95: expected a share between 0 and 1"),
        ({"protocol": "v9"}, "protocol 'v9': expected one of"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_exit_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    message: str,
) -> None:
    """Nothing is sent, no traceback is shown."""
    path = tmp_path / "set.npz"
    np.savez(path, inputs=np.ones((2, 1)), labels=np.ones(2, dtype=int))

    code = run(**{"url": "http://127.0.0.1:9", "model": "m", "data": str(path)} | options)

    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.startswith("infergate evaluate: ")
    assert message in err
    assert err.count("\n") == 1
