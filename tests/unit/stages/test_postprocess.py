# SPDX-License-Identifier: Apache-2.0
"""Postprocess: what is asked of the model, and what the client gets of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.errors import BadAnswer, NoReadyEndpoint
from gateway.stages.postprocess import Postprocess
from gateway.wire.message import InferRequest, InferResponse, RequestedOutput
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Tensor
from tests.support.service import PromptService
from tests.support.steps import model, output_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.wire.message import Service

INFO = model(
    outputs=(TensorSpec("label", "INT64", (-1,)), TensorSpec("scores", "FP32", (-1, 3))),
    labels={"scores": ("no", "yes", "maybe")},
)
BEST = [output_step("argmax", name="best"), output_step("labels", output="best")]


def answer(asked: InferRequest) -> InferResponse:
    """All outputs of the model for as many rows as were asked for, or those named."""
    rows = asked.rows
    outputs = (
        Tensor.of("label", np.ones(rows, np.int64)),
        Tensor.of("scores", np.tile(np.array([[0, 9, 1]], np.float32), (rows, 1))),
    )
    names = [output.name for output in asked.outputs]
    chosen = tuple(output for output in outputs if not names or output.name in names)
    return InferResponse(chosen, version="4", parameters={"p": 1})


def ask(*outputs: str, rows: int = 1) -> InferRequest:
    """A request for *outputs*, all without any."""
    return InferRequest(
        "m",
        (Tensor.of("x", np.ones((rows, 6), np.float32)),),
        id="7",
        outputs=tuple(RequestedOutput(name) for name in outputs),
        parameters={"q": 2},
        deadline=5.0,
        key=b"k",
    )


def stage(inner: Service, steps: Sequence[Any] = BEST, **options: Any) -> Postprocess:
    """The stage under test."""
    return Postprocess(inner, steps=list(steps), info=lambda: INFO, **options)


async def test_the_client_gets_what_the_steps_make() -> None:
    """Version and parameters are the model's."""
    response = await stage(PromptService(answer))(ask())

    assert [output.name for output in response.outputs] == ["label", "scores", "best"]
    assert response.outputs[2].array().tolist() == [b"yes"]
    assert (response.version, response.parameters) == ("4", {"p": 1})


async def test_a_named_output_of_the_steps_needs_those_of_the_model() -> None:
    """The model is asked for all of its own; the client gets what it named, in its order."""
    inner = PromptService(answer)
    asked = ask("best", "label")

    response = await stage(inner)(asked)

    (sent,) = inner.asked
    assert sent.outputs == ()
    assert [output.name for output in response.outputs] == ["best", "label"]
    for field in ("model", "inputs", "id", "parameters", "deadline", "trace", "rules", "key"):
        assert getattr(sent, field) is getattr(asked, field), field
    assert [output.name for output in asked.outputs] == ["best", "label"]


async def test_a_request_for_all_outputs_goes_on_as_it_is() -> None:
    """Nothing has to be rewritten."""
    inner, asked = PromptService(answer), ask()

    await stage(inner)(asked)

    assert inner.asked == [asked]


async def test_the_models_response_is_left_as_it_was() -> None:
    """Other requests of a batch may share it."""
    given = answer(ask())
    await stage(PromptService(lambda _: given))(ask("best"))

    assert [output.name for output in given.outputs] == ["label", "scores"]


async def test_an_output_that_nobody_made_is_a_bad_answer() -> None:
    """A worker that changed meanwhile must not turn into a crash of the gateway."""
    with pytest.raises(BadAnswer, match="output 'other' is missing"):
        await stage(PromptService(answer))(ask("other"))


async def test_large_outputs_are_processed_in_a_thread() -> None:
    """With the same result."""
    small = await stage(PromptService(answer))(ask(rows=50))
    under_test = stage(PromptService(answer), inline_bytes=0)
    under_test._inline = None  # type: ignore[assignment] # any use of it would fail
    large = await under_test(ask(rows=50))
    under_test._offload.close()

    assert [bytes(o.data) for o in large.outputs] == [bytes(o.data) for o in small.outputs]


async def test_an_unknown_model_is_not_ready() -> None:
    """And is not asked."""
    inner = PromptService(answer)
    under_test = Postprocess(inner, steps=BEST, info=lambda: None)

    with pytest.raises(NoReadyEndpoint):
        await under_test(ask())
    assert inner.asked == []
    state = "<Bound to nothing yet> <Pace of up to 16384 bytes on the loop>"
    assert repr(under_test) == f"<Postprocess [argmax, labels] {state}>"


@pytest.mark.parametrize("inline_bytes", [0, 1 << 20])
async def test_its_time_is_noted(inline_bytes: int) -> None:
    """On the loop and in a thread alike, on the trace of the request that came."""
    asked = ask()
    await stage(PromptService(answer), inline_bytes=inline_bytes)(asked)
    assert 0 < asked.trace.postprocess < 60
