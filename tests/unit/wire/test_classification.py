# SPDX-License-Identifier: Apache-2.0
"""The classification extension."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.classification import classify
from gateway.wire.tensor import NUMPY, Tensor


def test_the_highest_come_first_with_their_labels() -> None:
    """Value, index and, where the model has one, label."""
    scores = Tensor.of("y", np.array([[0.1, 0.7, 0.2], [3, 1, 2]], np.float32))

    classes = classify(scores, 2, batched=True, labels=["a", "b"])

    assert (classes.name, classes.datatype, classes.shape) == ("y", "BYTES", (2, 2))
    assert classes.array().tolist() == [
        [b"0.700000:1:b", b"0.200000:2"],
        [b"3.000000:0:a", b"2.000000:2"],
    ]


def test_without_a_batch_there_is_one_row() -> None:
    """The whole tensor is one classification."""
    classes = classify(Tensor.of("y", np.array([5, 9, 7])), 10, batched=False)

    assert classes.shape == (3,)
    assert classes.array().tolist() == [b"9:1", b"7:2", b"5:0"]


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (2,), (2, 2, 2)])
def test_any_shape_has_classes(shape: tuple[int, ...]) -> None:
    """No rows, no classes, one value a row, and further dimensions taken as one."""
    tensor = Tensor.of("y", np.zeros(shape, np.float32))
    width = int(np.prod(shape[1:]))

    classes = classify(tensor, 3, batched=True)

    assert classes.shape == (shape[0], min(3, width))
    assert classes.array().shape == classes.shape


def test_nan_is_below_everything() -> None:
    """A class without a value never comes first."""
    classes = classify(Tensor.of("y", np.array([[np.nan, -1e30, 2]])), 3, batched=True)

    assert [text.split(b":")[1] for text in classes.array()[0]] == [b"2", b"1", b"0"]


@pytest.mark.parametrize("datatype", ["BOOL", "UINT64", "INT8", "FP16", "BF16", "FP64"])
def test_every_number_can_be_ranked(datatype: str) -> None:
    """Unsigned and half numbers too."""
    data = np.array([0, 1], NUMPY[datatype]).tobytes()
    if datatype == "BF16":
        data = b"\x00\x00\x80\x3f"

    classes = classify(Tensor("y", datatype, (1, 2), data), 1, batched=True)

    assert classes.array()[0, 0].split(b":")[1] == b"1"


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 12))
def test_ties_go_to_the_lower_index(values: list[int], count: int) -> None:
    """As a stable sort of the values, highest first."""
    classes = classify(Tensor.of("y", np.array([values])), count, batched=True)

    expected = sorted(range(len(values)), key=lambda index: -values[index])[:count]
    assert [int(text.split(b":")[1]) for text in classes.array()[0]] == expected
