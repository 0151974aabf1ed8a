# SPDX-License-Identifier: Apache-2.0
"""Inputs that are made up for a probe."""

from __future__ import annotations

from gateway.upstream.made_up import made_up
from gateway.wire.model import ModelInfo, TensorSpec


def shapes(*specs: TensorSpec, batched: bool = True) -> list[list[tuple[int, ...]]]:
    """The shapes of each choice for a model with inputs of *specs*."""
    info = ModelInfo("m", "1", "p", "", specs, specs, batched=batched)
    return [[tensor.shape for tensor in choice] for choice in made_up(info)]


def test_one_row_of_zeros_is_all_where_only_rows_are_free() -> None:
    """There is nothing to guess."""
    assert shapes(TensorSpec("x", "FP32", (-1, 3)), TensorSpec("y", "INT8", (-1,))) == [
        [(1, 3), (1,)]
    ]


def test_other_free_dimensions_are_tried_small_and_large() -> None:
    """A picture's sides above all."""
    assert shapes(TensorSpec("x", "FP32", (-1, 3, -1, -1))) == [
        [(1, 3, 1, 1)], [(1, 3, 32, 32)], [(1, 3, 224, 224)],
    ]  # fmt: skip
    assert shapes(TensorSpec("x", "FP32", (-1,)), batched=False) == [[(1,)], [(32,)], [(224,)]]


def test_no_choice_is_a_load_test() -> None:
    """16 MiB at most."""
    assert shapes(TensorSpec("x", "FP64", (-1, -1, -1, -1))) == [
        [(1, 1, 1, 1)], [(1, 32, 32, 32)],
    ]  # fmt: skip


def test_text_reads_as_a_number_too() -> None:
    """A model that takes text may want one."""
    spec = TensorSpec("x", "BYTES", (-1, 2))
    info = ModelInfo("m", "1", "p", "", (spec,), (spec,), batched=True)
    assert made_up(info)[0][0].array().tolist() == [[b"0", b"0"]]
