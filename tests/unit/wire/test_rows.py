# SPDX-License-Identifier: Apache-2.0
"""Rows that are cut out of tensors, and put together again."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadAnswer
from gateway.wire.rows import cut, join
from gateway.wire.tensor import Tensor

ARRAYS = [
    np.arange(12, dtype=np.float32).reshape(6, 2),
    np.array([[f"{i}{'x' * i}"] for i in range(6)], dtype=object),
    np.arange(6, dtype=np.uint8),
]


@given(st.sampled_from(ARRAYS), st.sets(st.integers(1, 5)))
def test_what_was_cut_is_the_same_together(array: np.ndarray[Any, Any], cuts: set[int]) -> None:
    """Wherever the cuts are, and for elements of every size."""
    whole = Tensor.of("t", array)
    marks = [0, *sorted(cuts), 6]
    sizes = [stop - start for start, stop in pairwise(marks)]
    parts = [(cut(whole, start, start + size),) for start, size in zip(marks, sizes, strict=False)]
    assert [part.shape[0] for (part,) in parts] == sizes
    (joined,) = join(parts, sizes)
    assert joined.array().tolist() == whole.array().tolist()


@pytest.mark.parametrize("second", [(1, 2), (2, 3), ()])
def test_parts_that_do_not_line_up_are_refused(second: tuple[int, ...]) -> None:
    """In rows or in what a row is."""
    parts = [
        (Tensor("t", "UINT8", (2, 2), b"\0" * 4),),
        (Tensor("t", "UINT8", second, b"\0" * 6),),
    ]
    with pytest.raises(BadAnswer, match="output 't'"):
        join(parts, [2, 2])
