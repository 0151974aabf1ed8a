# SPDX-License-Identifier: Apache-2.0
"""Argmax, softmax, top_k and labels: values, names, and what they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from gateway.errors import BadAnswer, ConfigError
from gateway.steps import bind_outputs, client_info, digest
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Array, Tensor
from tests.support.steps import gives, model, output_step

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.wire.model import ModelInfo

DIGITS = model(
    outputs=(TensorSpec("label", "INT64", (-1,)), TensorSpec("scores", "FP32", (-1, 3))),
    labels={"scores": ("no", "yes", "maybe")},
)


def applied(name: str, array: Array, /, **fields: Any) -> tuple[Tensor, ...]:
    """What step *name* makes of the one output ``y`` of a model with labels for it."""
    sent = Tensor.of("y", array)
    info = gives(sent.datatype, -1, *array.shape[1:], labels=("a", "b", "c"))
    return bind_outputs(info, [output_step(name, **fields)])((sent,))


def fault(info: ModelInfo, name: str, /, **fields: Any) -> str:
    """What is said of a step that does not fit *info*."""
    with pytest.raises(ConfigError) as caught:
        client_info(info, [], [output_step(name, **fields)])
    (message,) = caught.value.faults
    return message


def test_argmax_gives_the_first_of_the_highest() -> None:
    """Equal scores have one answer, whatever the batch."""
    (result,) = applied("argmax", np.array([[1, 3, 2], [5, 5, 0]], np.float32))

    assert (result.name, result.datatype, result.array().tolist()) == ("y", "INT64", [1, 0])


def test_argmax_finds_the_only_output_that_has_scores() -> None:
    """Class numbers are no scores, so the other output is meant."""
    seen = client_info(DIGITS, [], [output_step("argmax")])

    assert seen.outputs == (
        TensorSpec("label", "INT64", (-1,)),
        TensorSpec("scores", "INT64", (-1,)),
    )


def test_argmax_with_a_name_leaves_the_scores() -> None:
    """The class is a further output, and has the names of the scores' classes."""
    step = output_step("argmax", name="best")
    seen = client_info(DIGITS, [], [step])
    sent = (
        Tensor.of("label", np.array([7])),
        Tensor.of("scores", np.array([[0, 0, 1]], np.float32)),
    )

    made = bind_outputs(DIGITS, [step])(sent)

    assert [spec.name for spec in seen.outputs] == ["label", "scores", "best"]
    assert seen.labels == {"scores": ("no", "yes", "maybe"), "best": ("no", "yes", "maybe")}
    assert made[:2] == sent
    assert made[2].array().tolist() == [2]


def test_a_further_output_needs_a_free_name() -> None:
    """Two outputs of one name could not be told apart."""
    assert "there is an output 'label' already" in fault(DIGITS, "argmax", name="label")


def test_the_batch_is_no_class_axis() -> None:
    """Rows of a batch belong to different clients."""
    assert "axis 0 of 'scores' is the batch" in fault(DIGITS, "argmax", axis=0)
    assert "no axis 5" in fault(DIGITS, "softmax", axis=5)


def test_which_output_is_meant_must_be_clear() -> None:
    """The message names those that could be meant."""
    two = model(outputs=(TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "FP64", (-1, 2))))

    assert "say which 'output' is meant: 'a', 'b' could be" in fault(two, "softmax")
    assert "none could be" in fault(gives("INT64", -1), "argmax")
    assert "there is no output 'c' here, only 'a', 'b'" in fault(two, "softmax", output="c")
    assert "output 'label' is INT64[-1] here" in fault(DIGITS, "argmax", output="label")
    assert client_info(two, [], [output_step("argmax", output="b")]).outputs[1].datatype == "INT64"


def test_softmax_sums_to_one_and_survives_large_scores() -> None:
    """A score of 1000 has no exponential; its distance to the highest has."""
    (result,) = applied("softmax", np.array([[1000, 1000, -1000], [0, 0, 0]], np.float32))

    assert result.array()[0].tolist() == [0.5, 0.5, 0.0]
    assert result.array()[1].sum() == pytest.approx(1.0, abs=1e-6)


def test_softmax_is_the_textbook_formula() -> None:
    """exp(x) over the sum of exp(x), along the axis."""
    scores = np.random.default_rng(3).normal(size=(4, 3, 2))

    (result,) = applied("softmax", scores, axis=1)

    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert np.allclose(result.array(), expected, rtol=1e-14, atol=0)


def test_softmax_of_half_precision_is_computed_in_single() -> None:
    """A float16 sum over many classes loses what a float32 sum keeps."""
    (result,) = applied("softmax", np.zeros((1, 4096), np.float16))

    assert result.datatype == "FP16"
    assert float(result.array()[0, 0]) == 1 / 4096


def test_top_k_gives_the_highest_first_and_equals_in_order() -> None:
    """Values and their classes line up."""
    values, classes = applied("top_k", np.array([[2, 9, 9, 1]], np.float32), k=3)

    assert (values.name, values.array().tolist()) == ("y", [[9, 9, 2]])
    assert (classes.name, classes.array().tolist()) == ("y_indices", [[1, 2, 0]])


def test_top_k_keeps_equals_in_order_among_many() -> None:
    """A row's answer must not depend on how a sort happens to move equals."""
    scores = np.random.default_rng(2).integers(0, 4, (3, 500)).astype(np.float32)

    _, classes = applied("top_k", scores, k=400)

    # Python's sort is stable: pairs of a falling score and a rising class.
    ranked = [sorted((-score, c) for c, score in enumerate(row.tolist())) for row in scores]
    expected = [[c for _, c in row[:400]] for row in ranked]
    assert classes.array().tolist() == expected


def test_top_k_puts_what_is_no_number_last() -> None:
    """NaN is not the best class."""
    _, classes = applied("top_k", np.array([[np.nan, 1, 2]], np.float32), k=2)

    assert classes.array().tolist() == [[2, 1]]


def test_top_k_hands_the_labels_to_the_classes() -> None:
    """The third highest score is not the score of the third class."""
    seen = client_info(DIGITS, [], [output_step("top_k", k=2, indices="which")])

    assert seen.outputs[1:] == (
        TensorSpec("scores", "FP32", (-1, 2)),
        TensorSpec("which", "INT64", (-1, 2)),
    )
    assert seen.labels == {"which": ("no", "yes", "maybe")}


def test_top_k_of_more_classes_than_there_are_is_refused() -> None:
    """At the start where the model says how many there are, else when the answer comes."""
    assert "k is 4, but output 'scores' has 3 classes" in fault(DIGITS, "top_k", k=4)
    kernel = bind_outputs(gives("FP32", -1, -1), [output_step("top_k", k=4)])
    with pytest.raises(BadAnswer, match="3 classes came, top_k needs 4"):
        kernel((Tensor.of("y", np.zeros((1, 3), np.float32)),))
    with pytest.raises(msgspec.ValidationError, match=">= 1"):
        output_step("top_k", k=0)


def test_labels_are_those_of_the_model_by_default() -> None:
    """The repository's labels need not be repeated."""
    (result,) = applied("labels", np.array([[2, 0], [1, 1]], np.int32))

    assert result.datatype == "BYTES"
    assert result.array().tolist() == [[b"c", b"a"], [b"b", b"b"]]


def test_labels_may_be_given_in_place() -> None:
    """Names beyond ASCII are UTF-8."""
    (result,) = applied("labels", np.array([1, 0]), names=["nein", "jä"])

    assert result.array().tolist() == ["jä".encode(), b"nein"]


def test_labels_may_come_from_a_file(tmp_path: Path) -> None:
    """One name a line; the file's content decides the digest too."""
    path = tmp_path / "labels.txt"
    path.write_text("cat\ndog\n")
    step = output_step("labels", file=str(path))
    before = digest([], [step])

    (result,) = bind_outputs(gives("INT64", -1), [step])((Tensor.of("y", np.array([1])),))
    path.write_text("cat\nfox\n")

    assert result.array().tolist() == [b"dog"]
    assert digest([], [step]) != before


def test_a_labels_file_must_be_readable_text_without_gaps(tmp_path: Path) -> None:
    """An empty line would name a class nothing, or shift those after it."""
    path = tmp_path / "labels.txt"
    path.write_text("cat\n\ndog\n")

    assert "must have one name on every line" in fault(gives("INT64", -1), "labels", file=str(path))
    missing = output_step("labels", file=str(tmp_path / "none.txt"))
    with pytest.raises(ConfigError, match=r"postprocess\[0\] labels: labels file .* be read"):
        client_info(gives("INT64", -1), [], [missing])
    with pytest.raises(ConfigError, match=r"postprocess\[0\] labels: labels file"):
        digest([], [missing])
    with pytest.raises(msgspec.ValidationError, match="not both"):
        output_step("labels", file="x", names=["y"])


def test_labels_must_come_from_somewhere() -> None:
    """Without any, the message says what to give."""
    assert "no labels for output 'y'; give 'names' or a 'file'" in fault(
        gives("INT64", -1), "labels"
    )


@pytest.mark.parametrize("wrong", [3, -1])
def test_a_class_without_a_name_is_a_bad_answer(wrong: int) -> None:
    """A name of another class would be worse than an error."""
    with pytest.raises(BadAnswer, match=f"output 'y': class {wrong}, but 3 have names"):
        applied("labels", np.array([0, wrong]))


def test_steps_follow_one_another() -> None:
    """The best class of the scores by its name, beside the probabilities."""
    steps = [
        output_step("softmax"),
        output_step("argmax", name="best"),
        output_step("labels", output="best"),
    ]
    sent = (
        Tensor.of("label", np.array([1])),
        Tensor.of("scores", np.array([[0, 9, 0]], np.float32)),
    )

    made = bind_outputs(DIGITS, steps)(sent)

    assert [spec.name for spec in client_info(DIGITS, [], steps).outputs] == [t.name for t in made]
    assert made[2].array().tolist() == [b"yes"]


def test_an_answer_without_the_output_is_a_bad_one() -> None:
    """A worker that breaks its word is named as the cause."""
    kernel = bind_outputs(gives("FP32", -1, 3), [output_step("argmax")])

    with pytest.raises(BadAnswer, match="output 'y' is missing"):
        kernel((Tensor.of("z", np.zeros((1, 3), np.float32)),))
    with pytest.raises(BadAnswer, match="FP64 came, FP32 expected"):
        kernel((Tensor.of("y", np.zeros((1, 3))),))
    with pytest.raises(BadAnswer, match=r"shape \[1, 0\] has no classes"):
        kernel((Tensor.of("y", np.zeros((1, 0), np.float32)),))
