# SPDX-License-Identifier: Apache-2.0
"""Reshape: the same bytes under another shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from gateway.errors import ConfigError, InvalidRequest
from gateway.steps import bind_inputs, client_info
from gateway.wire.tensor import Tensor
from tests.support.steps import input_step, takes

if TYPE_CHECKING:
    from gateway.steps import InputStep, Rewiring
    from gateway.wire.model import ModelInfo


def reshape(before: list[int], after: list[int]) -> InputStep | Rewiring:
    """The step between the two shapes."""
    return input_step("reshape", **{"from": before, "shape": after})


def test_the_batch_is_kept_and_no_byte_is_moved() -> None:
    """The buffer that came is the buffer that goes on."""
    step, info = reshape([-1, 8, 8], [-1, 64]), takes("FP32", -1, 64)
    sent = Tensor.of("x", np.ones((3, 8, 8), np.float32))

    (made,) = bind_inputs(info, [step])((sent,))

    assert client_info(info, [step]).inputs[0].shape == (-1, 8, 8)
    assert made.shape == (3, 64)
    assert made.data is sent.data


def test_text_can_be_reshaped_too() -> None:
    """A shape says nothing of the elements."""
    sent = Tensor.of("x", np.array([["a"], ["bc"]]))

    (made,) = bind_inputs(takes("BYTES", -1), [reshape([-1, 1], [-1])])((sent,))

    assert made.array().tolist() == [b"a", b"bc"]


def test_a_model_without_batch_has_whole_shapes() -> None:
    """Without a free dimension nothing is kept."""
    sent = Tensor.of("x", np.ones(6, np.int8))

    (made,) = bind_inputs(takes("INT8", 2, 3), [reshape([6], [2, 3])])((sent,))

    assert made.shape == (2, 3)


@pytest.mark.parametrize(
    ("info", "step", "said"),
    [
        (takes("FP32", -1, 60), reshape([-1, 8, 8], [-1, 64]), "it gives [-1, 64], but input 'x'"),
        (takes("FP32", -1, 8, 8), reshape([-1, 64], [-1, 64]), "is [-1, 8, 8] behind it"),
        (takes("FP32", -1, 4), reshape([2, 2], [1, 4]), "-1 must come first in both shapes"),
        (takes("FP32", 1, 4), reshape([-1, 2, 2], [-1, 4]), "-1 has no place here"),
    ],
)
def test_shapes_must_meet_those_of_the_model(info: ModelInfo, step: InputStep, said: str) -> None:
    """Both shapes are in the message."""
    with pytest.raises(ConfigError) as caught:
        client_info(info, [step])
    assert said in caught.value.faults[0]


def test_a_request_of_another_shape_is_refused() -> None:
    """Equal numbers of elements do not make another shape right."""
    kernel = bind_inputs(takes("FP32", -1, 64), [reshape([-1, 8, 8], [-1, 64])])

    with pytest.raises(InvalidRequest, match=r"shape \[1, 4, 16\] given, \[-1, 8, 8\] expected"):
        kernel((Tensor.of("x", np.ones((1, 4, 16), np.float32)),))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"from": [-1, 8, 8], "shape": [-1, 63]}, "64 elements a row"),
        ({"from": [-1, -1], "shape": [-1, 4]}, "only the first dimension"),
        ({"from": [-1, 4], "shape": [2, 2]}, "in both shapes or in none"),
        ({"from": [], "shape": [1]}, "length >= 1"),
        ({"from": [-1, -2], "shape": [-1, 2]}, ">= -1"),
    ],
)
def test_shapes_are_checked_when_they_are_read(fields: dict[str, Any], said: str) -> None:
    """A configuration that cannot work is a fault of the file."""
    with pytest.raises(msgspec.ValidationError, match=said):
        input_step("reshape", **fields)
