# SPDX-License-Identifier: Apache-2.0
"""Pool and l2_normalize: one vector a row, whatever stands in places of padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadAnswer, ConfigError
from gateway.steps import bind_outputs, carried, client_info
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Array, Tensor
from tests.support.steps import gives, language, model, output_step


def pooled(vectors: Array, mask: Array, **fields: Any) -> list[Tensor]:
    """What comes out of *vectors* and the request's *mask*."""
    kernel = bind_outputs(language(), [output_step("pool", **fields)])
    return list(kernel((Tensor.of("y", vectors), Tensor.of("attention_mask", mask))))


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 9))
def test_padding_is_left_out(seed: int, rows: int, tokens: int) -> None:
    """NaN and infinities in it included; the mask does not come out."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(0, 1, (rows, tokens, 4)).astype(np.float32)
    lengths = rng.integers(1, tokens + 1, rows)
    mask = (np.arange(tokens) < lengths[:, None]).astype(np.int64)
    vectors[mask == 0] = rng.choice([np.nan, np.inf, -np.inf, 1e30])
    references: dict[str, Callable[[Array], Array]] = {
        "mean": lambda part: part.mean(axis=0),
        "max": lambda part: part.max(axis=0),
        "cls": lambda part: part[0],
    }
    for by, reference in references.items():
        (found,) = pooled(vectors, mask, by=by)
        expected = [reference(vectors[row, :length]) for row, length in enumerate(lengths)]
        assert (found.name, found.datatype, found.shape) == ("y", "FP32", (rows, 4))
        np.testing.assert_allclose(found.array(), expected, rtol=1e-5, atol=1e-6)


def test_padding_on_the_left_has_its_first_token_behind_it() -> None:
    """Where the mask begins."""
    vectors = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    (found,) = pooled(vectors, np.array([[0, 1, 1]]), by="cls")
    assert found.array().tolist() == [[4, 5, 6, 7]]


def test_more_padding_does_not_change_a_bit() -> None:
    """So that it does not matter whom a row was padded with."""
    vectors = np.random.default_rng(0).normal(0, 1, (3, 40, 4)).astype(np.float32)
    mask = np.zeros((3, 40), np.int64)
    mask[:, :17] = 1
    for by in ("mean", "max", "cls"):
        short = pooled(vectors[:, :17], mask[:, :17], by=by)[0]
        assert pooled(vectors, mask, by=by)[0].array().tobytes() == short.array().tobytes()


def test_a_row_without_tokens_is_a_zero() -> None:
    """As the formula has it: nothing by the smallest weight."""
    (found,) = pooled(np.ones((1, 3, 4), np.float32), np.zeros((1, 3), np.int64))
    assert found.array().tolist() == [[0, 0, 0, 0]]


def test_vectors_get_length_one() -> None:
    """A zero stays one; halves are summed as more than halves."""
    kernel = bind_outputs(gives("FP16", -1, 300), [output_step("l2_normalize")])
    values = np.full((2, 300), 60.0, np.float16)
    values[1] = 0
    found = kernel((Tensor.of("y", values),))[0].array()
    np.testing.assert_allclose(np.linalg.norm(found.astype(float), axis=1), [1, 0], atol=1e-2)


def test_clients_see_one_vector_a_row() -> None:
    """And know nothing of the mask on its way back."""
    seen = client_info(language(), [], [output_step("pool", name="vector")])
    assert [(s.name, s.shape) for s in seen.outputs] == [("vector", (-1, 4))]
    assert seen.inputs == language().inputs
    assert [spec.name for spec in carried(language(), [output_step("pool")])] == ["attention_mask"]
    assert carried(language(), [output_step("pool", mask="")]) == ()


@pytest.mark.parametrize(
    ("info", "fields", "part"),
    [
        (language(), {"mask": "mask"}, "reads input 'mask'; the model has 'input_ids'"),
        (gives("FP32", -1, 4), {"mask": ""}, "3 dimensions"),
        (gives("FP32", -1, 3, 4, 5), {"mask": ""}, r"expected \[-1, tokens, size\]"),
        (language("FP32"), {}, "the mask 'attention_mask' is FP32"),
        (
            model(
                inputs=(TensorSpec("attention_mask", "INT64", (-1, -1)),),
                outputs=(
                    TensorSpec("y", "FP32", (-1, -1, 4)),
                    TensorSpec("attention_mask", "INT64", (-1,)),
                ),
            ),
            {},
            "an output 'attention_mask' already",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_said_at_the_start(
    info: ModelInfo, fields: dict[str, Any], part: str
) -> None:
    """With what was found."""
    with pytest.raises(ConfigError, match=part):
        client_info(info, [], [output_step("pool", **fields)])


@pytest.mark.parametrize("shape", [(2, 4), (2, 5, 4), (1, 3, 4)])
def test_an_answer_that_does_not_line_up_with_the_mask_is_bad(shape: tuple[int, ...]) -> None:
    """It is no fault of the client."""
    with pytest.raises(BadAnswer):
        pooled(np.zeros(shape, np.float32), np.ones((2, 3), np.int64))
