# SPDX-License-Identifier: Apache-2.0
"""Preview: a model's finished inputs as its answer."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.errors import NotFound
from gateway.stages.preview import Preview, Previews
from gateway.wire.message import InferRequest, RequestedOutput
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Tensor
from tests.support.steps import input_step, model, takes

INFO = takes("FP32", -1, 4)
STEPS = [
    input_step("reshape", **{"from": [-1, 2, 2], "shape": [-1, 4]}),
    input_step("scale", factor=0.5),
]


class Holder:
    """A model with or without a preview."""

    def __init__(self, preview: Preview | None) -> None:
        self.preview = preview


async def test_the_answer_is_what_would_reach_the_model() -> None:
    """Although small inputs are left to a batch elsewhere."""
    preview = Preview(steps=STEPS, info=lambda: INFO)
    sent = Tensor.of("x", np.ones((3, 2, 2), np.float32))

    response = await preview.service(InferRequest("m", (sent,)))

    (tensor,) = response.outputs
    assert (tensor.name, tensor.shape) == ("x", (3, 4))
    assert tensor.array().tolist() == [[0.5] * 4] * 3


def test_it_takes_what_clients_send_and_gives_what_the_model_takes() -> None:
    """The codec checks and spells by that."""
    info = Preview(steps=STEPS, info=lambda: INFO).info

    assert info is not None
    assert info.inputs == (TensorSpec("x", "FP32", (-1, 2, 2)),)
    assert info.outputs == INFO.inputs


async def test_one_of_several_can_be_asked_for() -> None:
    """As with outputs."""
    info = model(inputs=(TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "FP32", (-1,))))
    sent = tuple(Tensor.of(name, np.ones(1, np.float32)) for name in "ab")
    request = InferRequest("m", sent, outputs=(RequestedOutput("b"),))

    response = await Preview(steps=(), info=lambda: info).service(request)

    assert [tensor.name for tensor in response.outputs] == ["b"]


def test_no_worker_no_description() -> None:
    """It follows the pool."""
    given: list[ModelInfo | None] = [None]
    preview = Preview(steps=STEPS, info=lambda: given[0])
    first = preview.info
    given[0] = INFO
    second, third = preview.info, preview.info

    assert first is None
    assert second is third is not None


def test_a_preview_that_is_off_says_how_it_is_turned_on() -> None:
    """An unknown model is none."""
    previews = Previews({"a": Holder(None), "b": Holder(Preview(steps=(), info=lambda: INFO))})

    assert previews.get("c") is None
    assert previews["b"].info is not None
    with pytest.raises(NotFound, match=r"preprocess of model 'a' is off; 'debug: \{preprocess"):
        previews.get("a")
