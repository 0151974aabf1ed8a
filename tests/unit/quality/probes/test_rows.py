# SPDX-License-Identifier: Apache-2.0
"""Rows: a set from a file, in requests that the model takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.quality.probes.rows import Unusable, read_rows
from gateway.wire.model import ModelInfo, TensorSpec


def info(*specs: TensorSpec, batched: bool = True) -> ModelInfo:
    """A model with these inputs."""
    return ModelInfo("m", "1", "test", "d", specs, (), batched=batched)


def saved(path: Path, **arrays: Any) -> str:
    """A file with *arrays*."""
    np.savez(path / "set.npz", **arrays)
    return str(path / "set.npz")


def test_the_first_rows_are_asked(tmp_path: Path) -> None:
    """In requests of a few, with what is true of them."""
    path = saved(tmp_path, inputs=np.arange(40.0).reshape(20, 2), labels=np.arange(20)[:, None])
    rows = read_rows(path, 10)
    assert len(rows) == 10
    assert rows.labels is not None
    assert rows.labels.tolist() == list(range(10))
    found = list(rows.requests(info(TensorSpec("x", "FP32", (-1, 2)))))
    assert [count for count, _ in found] == [8, 2]
    ((tensor,),) = [inputs for count, inputs in found if count == 2]
    assert (tensor.name, tensor.datatype, tensor.shape) == ("x", "FP32", (2, 2))
    assert tensor.array().tolist() == [[16.0, 17.0], [18.0, 19.0]]


def test_another_file_is_another_set(tmp_path: Path) -> None:
    """By its digest, so that golden answers are never compared with those to other rows."""
    one = read_rows(saved(tmp_path, x=np.zeros((3, 1))), 3)
    two = read_rows(saved(tmp_path, x=np.ones((3, 1))), 3)
    assert one.digest != two.digest
    assert one.labels is None


@pytest.mark.parametrize(
    ("shape", "sizes", "tensor"),
    [((-1, 2), [8, 2], (8, 2)), ((4, 2), [4, 4], (4, 2)), ((2,), [1] * 10, (2,))],
    ids=["free", "fixed", "bare"],
)
def test_requests_have_the_size_that_the_model_takes(
    tmp_path: Path, shape: tuple[int, ...], sizes: list[int], tensor: tuple[int, ...]
) -> None:
    """A fixed first dimension, or none; rows that make no whole request are left out."""
    rows = read_rows(saved(tmp_path, x=np.zeros((10, 2))), 10)
    found = list(rows.requests(info(TensorSpec("x", "FP64", shape), batched=shape[0] == -1)))
    assert [count for count, _ in found] == sizes
    assert found[0][1][0].shape == tensor


def test_texts_and_halves_travel_as_the_model_takes_them(tmp_path: Path) -> None:
    """BYTES from Unicode arrays, BF16 as the upper half of a float."""
    rows = read_rows(saved(tmp_path, t=np.asarray(["a", "b"]), h=np.asarray([1.0, -2.0])), 2)
    specs = (TensorSpec("t", "BYTES", (-1,)), TensorSpec("h", "BF16", (-1,)))
    ((_, (text, half)),) = rows.requests(info(*specs))
    assert text.array().tolist() == [b"a", b"b"]
    assert half.array().tolist() == [0x3F80, 0xC000]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"labels": np.zeros(3)}, "no arrays of inputs"),
        ({"x": np.zeros((3, 1)), "labels": np.zeros(2)}, "arrays of [2, 3] rows"),
        ({"x": np.zeros((0, 1))}, "arrays of [0] rows"),
    ],
)
def test_a_file_that_is_no_set_is_refused(
    tmp_path: Path, arrays: dict[str, Any], said: str
) -> None:
    """With what was wrong."""
    with pytest.raises(Unusable, match=said.replace("[", r"\[").replace("]", r"\]")):
        read_rows(saved(tmp_path, **arrays), 10)


def test_a_file_that_is_not_there_or_no_archive_is_refused(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(Unusable, match=r"nothing\.npz: No such file"):
        read_rows(str(tmp_path / "nothing.npz"), 1)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(Unusable, match=r"text\.npz: cannot be read as \.npz"):
        read_rows(str(tmp_path / "text.npz"), 1)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(Unusable, match=r"expected an \.npz archive"):
        read_rows(str(tmp_path / "one.npy"), 1)


def test_what_the_model_does_not_take_is_refused(tmp_path: Path) -> None:
    """A missing array, and text for numbers."""
    rows = read_rows(saved(tmp_path, x=np.asarray(["a"]), y=np.zeros(1)), 1)
    with pytest.raises(Unusable, match=r"no array 'z'; there are: x, y"):
        list(rows.requests(info(TensorSpec("z", "FP32", (-1,)), TensorSpec("y", "FP32", (-1,)))))
    with pytest.raises(Unusable, match="the model takes FP32"):
        list(rows.requests(info(TensorSpec("x", "FP32", (-1,)), TensorSpec("y", "FP32", (-1,)))))
