# SPDX-License-Identifier: Apache-2.0
"""A file is fitted to a model, or refused with a line that says what does not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.lab import LabError
from gateway.lab.dataset import fit, read_arrays
from gateway.wire.model import TensorSpec

IMAGE = TensorSpec("image", "FP32", (-1, 4))


def arrays(**changes: Any) -> dict[str, Any]:
    """Five rows for IMAGE, with *changes*; None takes an array out."""
    whole = {
        "inputs": np.arange(20, dtype=np.float32).reshape(5, 4),
        "labels": np.asarray([0, 1, 2, 1, 0]),
    }
    return {name: array for name, array in (whole | changes).items() if array is not None}


def test_arrays_are_read_by_name(tmp_path: Path) -> None:
    """What was saved is what is read."""
    path = tmp_path / "set.npz"
    np.savez(path, **arrays())

    read = read_arrays(str(path))

    assert sorted(read) == ["inputs", "labels"]
    np.testing.assert_array_equal(read["inputs"], arrays()["inputs"])


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), (b"", "cannot be read"), (b"PK\x03\x04junk", "cannot be read"),
     (b"text", "cannot be read")],
)  # fmt: skip
def test_a_file_that_is_no_archive_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    """The line names the file."""
    path = tmp_path / "set.npz"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(LabError, match=rf"set\.npz: .*{message}"):
        read_arrays(str(path))


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """The line names the directory and why it cannot be read."""
    with pytest.raises(LabError, match="Is a directory"):
        read_arrays(str(tmp_path))


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    """A ``.npy`` has no names to tell inputs from labels by."""
    path = tmp_path / "set.npy"
    np.save(path, np.arange(3))

    with pytest.raises(LabError, match=r"expected an \.npz archive"):
        read_arrays(str(path))


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    """A file of unknown origin must not run code."""
    path = tmp_path / "set.npz"
    np.savez(path, labels=np.asarray([object()], dtype=object))

    with pytest.raises(LabError, match="cannot be read"):
        read_arrays(str(path))


def test_the_only_input_may_be_called_inputs() -> None:
    """A model with one input needs no renamed file."""
    dataset = fit("f", arrays(), [IMAGE], rows=2)

    assert [(part.start, part.stop) for part in dataset.slices()] == [(0, 2), (2, 4), (4, 5)]
    (tensor,) = dataset.tensors(slice(4, 5))
    assert (tensor.name, tensor.datatype, tensor.shape) == ("image", "FP32", (1, 4))
    assert tensor.array().tolist() == [[16, 17, 18, 19]]


def test_inputs_are_found_by_name() -> None:
    """With several inputs each array has the name of its tensor."""
    specs = [IMAGE, TensorSpec("scale", "FP32", (-1, 1))]
    data = arrays(inputs=None, image=arrays()["inputs"], scale=np.ones((5, 1)))

    dataset = fit("f", data, specs, rows=5)

    assert [tensor.name for tensor in dataset.tensors(slice(0, 5))] == ["image", "scale"]


def test_a_model_without_batch_dimension_gets_single_rows() -> None:
    """Its request is one row without a first dimension, whatever was asked for."""
    dataset = fit("f", arrays(), [TensorSpec("image", "FP32", (4,))], rows=32)

    parts = list(dataset.slices())
    assert len(parts) == 5
    assert dataset.bare
    assert dataset.tensors(parts[1])[0].shape == (4,)


def test_a_fixed_first_dimension_sets_the_rows() -> None:
    """A model made for five rows gets five, although two were asked for."""
    dataset = fit("f", arrays(), [TensorSpec("image", "FP32", (5, 4))], rows=2)

    assert len(list(dataset.slices())) == 1


@pytest.mark.parametrize(
    ("array", "datatype", "wanted"),
    [
        (np.ones((5, 4), dtype=np.float64), "FP32", "<f4"),
        (np.ones((5, 4), dtype=np.uint8), "FP32", "<f4"),
        (np.ones((5, 4), dtype=np.int64), "INT8", "i1"),
        (np.ones((5, 4), dtype=np.float32), "FP16", "<f2"),
    ],
)
def test_numbers_of_the_same_kind_are_cast(array: Any, datatype: str, wanted: str) -> None:
    """A set saved as doubles or bytes needs no conversion by hand."""
    dataset = fit("f", arrays(inputs=array), [TensorSpec("x", datatype, (-1, 4))], rows=1)

    assert dataset.inputs["x"].dtype == np.dtype(wanted)


def test_bf16_is_rounded_to_even() -> None:
    """The upper half of each float, with the nearest value and ties to the even one."""
    values = np.asarray([[1.0, -2.5, 1.00390625, 1.01171875]], dtype=np.float32)
    data = {"inputs": values, "labels": np.asarray([0])}

    dataset = fit("f", data, [TensorSpec("x", "BF16", (-1, 4))], rows=1)

    assert dataset.inputs["x"].tolist() == [[0x3F80, 0xC020, 0x3F80, 0x3F82]]


def test_text_inputs_and_named_classes() -> None:
    """BYTES takes arrays of text, and classes may be names, also as bytes."""
    data = {"inputs": np.asarray(["a", "bc"]), "labels": np.asarray([b"cat", b"dog"])}

    dataset = fit("f", data, [TensorSpec("text", "BYTES", (-1,))], rows=2)

    assert dataset.tensors(slice(0, 2))[0].array().tolist() == [b"a", b"bc"]
    assert dataset.labels.tolist() == ["cat", "dog"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, r"no array 'labels' .* there are: inputs \[5, 4\]"),
        ({"inputs": None}, r"no array for the input 'image'; there are: labels \[5\]"),
        ({"labels": np.ones((5, 2))}, r"'labels' is float64 \[5, 2\]"),
        ({"labels": np.full(5, np.nan)}, "not finite numbers"),
        ({"weights": np.ones(4)}, r"'weights' is float64 \[4\]; expected one number for each of 5"),
        ({"weights": -np.ones(5)}, "'weights' must be 0 or more"),
        ({"weights": np.zeros(5)}, "not all 0"),
        ({"labels": np.full((5, 2), 7)}, r"'labels' is int64 \[5, 2\]"),
        ({"labels": np.ones(0, dtype=int)}, "'labels' is empty"),
        ({"labels": np.ones(4, dtype=int)}, "first dimension must be 4"),
        ({"inputs": np.ones((5, 3))}, r"shape \[5, 3\]; the model takes \[-1, 4\]"),
        ({"inputs": np.ones((5, 4, 1))}, r"shape \[5, 4, 1\]; the model takes \[-1, 4\]"),
        ({"inputs": np.ones(())}, r"shape \[\]"),
        ({"inputs": np.full((5, 4), "x")}, "the model takes FP32"),
        ({"inputs": np.ones((5, 4), dtype=complex)}, "is complex128; the model takes FP32"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    """The line names the file, the array, what it is, and what is expected."""
    with pytest.raises(LabError, match=rf"^f: .*{message}"):
        fit("f", arrays(**changes), [IMAGE], rows=2)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (TensorSpec("x", "INT64", (-1, 4)), "is float32; the model takes INT64"),
        (TensorSpec("x", "BYTES", (-1, 4)), "is float32; the model takes text"),
        (TensorSpec("x", "FP32", (2, 4)), "takes 2 rows at a time"),
    ],
)
def test_a_model_that_takes_something_else_is_named(spec: TensorSpec, message: str) -> None:
    """Nothing is bent into a shape or type that changes its meaning."""
    with pytest.raises(LabError, match=message):
        fit("f", arrays(), [spec], rows=2)


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (np.asarray([0, 1, 2, 1, 0]), "classification"),
        (np.asarray(["a", "b", "a", "b", "a"]), "classification"),
        (np.asarray([[0], [1], [2], [1], [0]]), "classification"),
        (np.linspace(0, 1, 5), "regression"),
        (np.eye(5, dtype=np.int64), "multilabel"),
    ],
)
def test_labels_say_what_the_model_does(labels: Any, task: str) -> None:
    """Whole numbers and names are classes, fractions are values, columns of 0 and 1 are labels."""
    dataset = fit("f", arrays(labels=labels), [IMAGE], rows=2)

    assert dataset.task == task
    assert dataset.weights is None


def test_weights_come_with_their_rows_and_places_choose_rows() -> None:
    """A model with an input of that name keeps it."""
    weights = np.asarray([1, 2, 3, 4, 5])
    dataset = fit("f", arrays(weights=weights), [IMAGE], rows=2)
    (tensor,) = dataset.tensors(np.asarray([4, 0]))

    assert dataset.weights is not None
    assert dataset.weights.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert tensor.array()[:, 0].tolist() == [16.0, 0.0]
    named = TensorSpec("weights", "INT64", (-1,))
    assert fit("f", arrays(weights=weights), [named], rows=2).weights is None
