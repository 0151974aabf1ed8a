# SPDX-License-Identifier: Apache-2.0
"""Augment: what is asked of the model for a row, and what the client gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.errors import BadAnswer
from gateway.stages.augment import Augment
from gateway.steps.augment import Ensemble
from gateway.steps.views import Flip, Identity, Shift
from gateway.telemetry import Telemetry
from gateway.wire.message import InferRequest, InferResponse, RequestedOutput
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Array, Tensor
from tests.support.service import PromptService
from tests.support.steps import model

INFO = model(
    inputs=(TensorSpec("x", "FP32", (-1, 1, 2)),),
    outputs=(TensorSpec("label", "INT64", (-1,)), TensorSpec("p", "FP32", (-1, 2))),
)
# A row says its probability of class 0 in its first pixel, and what its mirror would say.
ROWS = np.array([[[0.9, 0.7]], [[0.6, 0.1]], [[0.5, 1.0]]], np.float32)


def answer(request: InferRequest) -> InferResponse:
    """The model: the first pixel is the probability of class 0; label 10 and 20."""
    first = request.inputs[0].array()[:, 0, 0]
    p = np.stack([first, 1 - first], axis=1)
    label = np.where(p[:, 0] >= 0.5, 10, 20)
    return InferResponse((Tensor.of("label", label), Tensor.of("p", p)), version="3")


def ask(*outputs: str, rows: Array = ROWS, **fields: Any) -> InferRequest:
    """A request for some of the outputs."""
    wanted = tuple(RequestedOutput(name) for name in outputs)
    return InferRequest("m", (Tensor.of("x", rows),), outputs=wanted, **fields)


class Bench:
    """The stage over the model, which notes what it is asked."""

    def __init__(self, *views: Any, **options: Any) -> None:
        self.inner = PromptService(options.pop("respond", answer))
        self.telemetry = Telemetry(["m"])
        self.stage = Augment(
            self.inner,
            model="m",
            ensemble=Ensemble(views=views or (Identity(), Flip())),
            info=lambda: INFO,
            telemetry=self.telemetry,
            **options,
        )

    async def probabilities(self, request: InferRequest) -> list[float]:
        """Those of class 0."""
        outputs = {tensor.name: tensor for tensor in (await self.stage(request)).outputs}
        return [round(float(p), 6) for p in outputs["p"].array()[:, 0]]

    def rows(self, kind: str) -> float:
        """How many rows of *kind* were counted."""
        return self.telemetry.augment_rows.cell("m", kind).value


async def test_all_views_of_all_rows_are_one_batch() -> None:
    """And their mean is the answer, the label that of the mean."""
    bench = Bench()

    response = await bench.stage(ask())

    (sent,) = bench.inner.asked
    assert sent.inputs[0].array()[:, 0, 0].tolist() == pytest.approx([0.9, 0.6, 0.5, 0.7, 0.1, 1])
    label, p = response.outputs
    np.testing.assert_allclose(p.array()[:, 0], [0.8, 0.35, 0.75], atol=1e-6)
    assert label.array().tolist() == [10, 20, 10]
    assert response.version == "3"
    assert [bench.rows(kind) for kind in ("asked", "augmented", "extra")] == [3, 3, 3]


async def test_only_rows_that_are_unsure_are_asked_about_again() -> None:
    """The first pass is their answer to the identity."""
    bench = Bench(below=0.7)

    assert await bench.probabilities(ask()) == [0.9, 0.35, 0.75]
    first, second = bench.inner.asked
    assert first.rows == 3
    assert second.inputs[0].array()[:, 0, 0].tolist() == pytest.approx([0.1, 1.0])
    assert [bench.rows(kind) for kind in ("asked", "augmented", "extra")] == [3, 2, 2]


async def test_rows_that_are_sure_cost_nothing_more() -> None:
    """One pass, and its answer as it is."""
    bench = Bench(below=0.5)

    assert await bench.probabilities(ask()) == [0.9, 0.6, 0.5]
    assert len(bench.inner.asked) == 1
    assert bench.rows("extra") == 0


async def test_without_an_identity_the_first_pass_only_decides() -> None:
    """All views are asked for then."""
    bench = Bench(Flip(), below=0.7)

    assert await bench.probabilities(ask()) == [0.9, 0.1, 1.0]


async def test_both_passes_are_time_upstream() -> None:
    """Of which neither may be lost."""

    def respond(request: InferRequest) -> InferResponse:
        request.trace.upstream = 2.0
        request.trace.infer = 1.0
        return answer(request)

    asked = ask()
    await Bench(below=0.7, respond=respond).stage(asked)

    assert (asked.trace.upstream, asked.trace.infer) == (4.0, 2.0)


async def test_too_many_bytes_are_asked_for_in_parts() -> None:
    """With the same answer."""
    whole, parts = Bench(), Bench(max_bytes=2 * ROWS[0].nbytes)

    assert await parts.probabilities(ask()) == await whole.probabilities(ask())
    assert [sent.rows for sent in parts.inner.asked] == [2, 2, 2]
    unsure = Bench(below=0.7, max_bytes=1)
    assert await unsure.probabilities(ask()) == [0.9, 0.35, 0.75]
    assert [sent.rows for sent in unsure.inner.asked] == [3, 1, 1]


async def test_the_outputs_that_were_asked_for_come_back() -> None:
    """Although merging needs all of them."""
    bench = Bench()

    response = await bench.stage(ask("label"))

    assert [tensor.name for tensor in response.outputs] == ["label"]
    assert bench.inner.asked[0].outputs == ()


async def test_the_request_that_came_is_left_as_it_was() -> None:
    """A cache may hold it; id, deadline and parameters go on."""
    asked = ask("p", id="7", deadline=5.0, parameters={"a": 1}, priority=2)
    inputs = asked.inputs
    bench = Bench()

    await bench.stage(asked)

    sent = bench.inner.asked[0]
    assert asked.inputs is inputs
    assert [output.name for output in asked.outputs] == ["p"]
    for field in ("id", "deadline", "parameters", "priority", "trace"):
        assert getattr(sent, field) is getattr(asked, field), field


async def test_deferred_steps_are_done_before_the_views_are_made() -> None:
    """Views are of what the model takes."""

    def halve(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (Tensor.of("x", tensors[0].array() / 2),)

    bench = Bench()
    assert await bench.probabilities(ask(finish=halve)) == [0.4, 0.175, 0.375]
    assert bench.inner.asked[0].finish is None


async def test_a_sequence_passes_as_it_is() -> None:
    """A stateful model would take each view for another step of it."""
    bench = Bench()
    await bench.stage(ask(parameters={"sequence_id": 4}))

    assert bench.inner.asked[0].rows == 3


async def test_no_rows_are_no_rows() -> None:
    """A tensor without elements is a tensor."""
    for bench in (Bench(), Bench(below=0.9)):
        assert await bench.probabilities(ask(rows=ROWS[:0])) == []


async def test_an_answer_that_does_not_line_up_reaches_nobody() -> None:
    """It would be the answer to another row."""

    def short(_: InferRequest) -> InferResponse:
        return answer(ask(rows=ROWS[:1]))

    with pytest.raises(BadAnswer):
        await Bench(Identity(), Flip(), Shift(x=1), respond=short).stage(ask())


async def test_views_that_take_long_are_made_in_a_thread() -> None:
    """With the same answer."""
    bench = Bench()
    bench.stage._expanding.within = bench.stage._merging.within = 0
    bench.stage._inline = None  # type: ignore[assignment] # any use of it would fail

    made = (await bench.stage(ask())).outputs[0].array().tolist()
    bench.stage._offload.close()

    assert made == [10, 20, 10]
