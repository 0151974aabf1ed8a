# SPDX-License-Identifier: Apache-2.0
"""Carry: a request's own inputs behind the outputs of its answer."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.errors import NoReadyEndpoint
from gateway.stages.carry import Carry
from gateway.stages.postprocess import Postprocess
from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.model import ModelInfo
from gateway.wire.tensor import Tensor
from tests.support.steps import language, output_step

INFO = language()


class Encoder:
    """A model whose vectors are the ids, four times each."""

    def __init__(self) -> None:
        self.requests: list[InferRequest] = []

    async def __call__(self, request: InferRequest, /) -> InferResponse:
        """Answer *request*."""
        self.requests.append(request)
        ids = next(tensor for tensor in request.inputs if tensor.name == "input_ids").array()
        vectors = np.repeat(ids[:, :, None], 4, axis=2).astype(np.float32)
        return InferResponse((Tensor.of("y", vectors),), version="7", parameters={"a": 1})


def request(mask: list[list[int]]) -> InferRequest:
    """A request whose ids are 1, 2, 3 in each row."""
    rows = len(mask)
    return InferRequest(
        "m",
        (
            Tensor.of("attention_mask", np.array(mask)),
            Tensor.of("input_ids", np.tile([1, 2, 3], (rows, 1))),
        ),
    )


async def test_a_step_on_the_way_back_sees_the_mask_of_its_request() -> None:
    """And clients see only what the steps made."""
    steps = [output_step("pool"), output_step("l2_normalize")]
    inner = Encoder()
    service = Postprocess(
        Carry(inner, steps=steps, info=lambda: INFO), steps=steps[:1], info=lambda: INFO
    )

    response = await service(request([[1, 1, 0], [1, 1, 1]]))

    (output,) = response.outputs
    assert output.array().tolist() == [[1.5] * 4, [2.0] * 4]
    assert (response.version, response.parameters) == ("7", {"a": 1})


async def test_what_was_left_to_the_batch_is_done_first() -> None:
    """Otherwise there would be nothing to carry yet."""
    inner = Encoder()
    asked = request([[1, 0, 0]])
    whole = asked.inputs
    asked.inputs = ()
    asked.finish = lambda _: whole

    response = await Carry(inner, steps=[output_step("pool")], info=lambda: INFO)(asked)

    assert [tensor.name for tensor in response.outputs] == ["y", "attention_mask"]
    assert inner.requests[0].finish is None
    assert inner.requests[0].inputs == whole


async def test_a_model_that_is_not_there_is_said() -> None:
    """Until a worker has described it."""
    info: ModelInfo | None = None
    with pytest.raises(NoReadyEndpoint):
        await Carry(Encoder(), steps=[output_step("pool")], info=lambda: info)(request([[1, 1, 1]]))
