# SPDX-License-Identifier: Apache-2.0
"""What all steps build on: choosing a tensor, constants, buffers."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.steps.step import Misfit, added, buffer, class_axis, constant, find, replaced
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Tensor

Y = TensorSpec("y", "FP32", (-1, 3))
Z = TensorSpec("z", "FP32", (-1,))


def test_a_small_buffer_is_a_copy_and_a_large_one_is_a_view() -> None:
    """Both are bytes with a length in bytes."""
    small, large = np.ones(10, np.float64), np.ones(10_000, np.float64)

    assert isinstance(buffer(small), bytes)
    assert isinstance(buffer(large), memoryview)
    assert (len(buffer(small)), len(buffer(large))) == (80, 80_000)


def test_an_axis_counts_from_the_front_or_the_back() -> None:
    """The batch is counted, and is no axis of classes where rows are merged."""
    assert class_axis(Y, -1, batched=True) == class_axis(Y, 1, batched=True) == 1
    assert class_axis(Y, -2, batched=False) == 0
    with pytest.raises(Misfit, match="is the batch"):
        class_axis(Y, -2, batched=True)
    with pytest.raises(Misfit, match="no axis -3"):
        class_axis(Y, -3, batched=True)


def test_a_constant_must_be_finite_in_its_type() -> None:
    """1e39 is infinite as a float32."""
    assert constant(0.5, np.dtype("<f4"), "factor").dtype == np.float32
    with pytest.raises(Misfit, match="factor 1e"):
        constant(1e39, np.dtype("<f4"), "factor")


def test_specs_are_replaced_and_added_without_changing_the_old() -> None:
    """Names stay unique."""
    assert replaced((Y, Z), 0, Z) == (Z, Z)
    assert added((Y,), Z) == (Y, Z)
    with pytest.raises(Misfit, match="'y' already"):
        added((Y,), Y)


def test_an_output_is_found_by_its_name() -> None:
    """Wherever a worker puts it."""
    tensors = (Tensor("z", "FP32", (0,), b""), Tensor("y", "FP32", (0, 3), b""))

    assert find(tensors, "y", "FP32") == 1
