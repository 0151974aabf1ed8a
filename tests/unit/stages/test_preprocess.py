# SPDX-License-Identifier: Apache-2.0
"""Preprocess: what reaches the model, and what it costs the request."""

from __future__ import annotations

import asyncio
import threading
from threading import current_thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.errors import InvalidRequest, NoReadyEndpoint, Shed
from gateway.stages.merge import compatibility, finished
from gateway.stages.offload import Offload
from gateway.stages.preprocess import Preprocess
from gateway.steps.numeric import Scale
from gateway.wire.message import InferRequest, RequestedOutput
from gateway.wire.tensor import Tensor
from tests.support.service import PromptService
from tests.support.steps import input_step, model, takes

if TYPE_CHECKING:
    from gateway.steps import Kernel
    from gateway.wire.model import ModelInfo

SCALE = input_step("scale", factor=0.5)


def ask(rows: int = 1) -> InferRequest:
    """A request with all fields set."""
    return InferRequest(
        "m",
        (Tensor.of("x", np.full((rows, 6), 4, np.float32)),),
        id="7",
        outputs=(RequestedOutput("y"),),
        parameters={"p": 1},
        deadline=5e9,
        priority=2,
        key=b"k",
        form="rows",
    )


async def test_the_model_gets_what_the_steps_make() -> None:
    """In the order of the list."""
    inner = PromptService()
    stage = Preprocess(
        inner, steps=[SCALE, input_step("clip", max=1)], info=model, deferred_bytes=-1
    )

    await stage(ask())

    assert inner.asked[0].inputs[0].array().tolist() == [[1.0] * 6]


async def test_the_request_that_came_is_left_as_it_was() -> None:
    """A cache may still hold it; everything but the inputs goes on with the new one."""
    inner = PromptService()
    asked = ask()
    inputs = asked.inputs

    await Preprocess(inner, steps=[SCALE], info=model, deferred_bytes=-1)(asked)

    (sent,) = inner.asked
    assert asked.inputs is inputs
    assert inputs[0].array().tolist() == [[4.0] * 6]
    for field in ("model", "id", "outputs", "parameters", "deadline", "priority", "trace", "rules",
                  "key", "form"):  # fmt: skip
        assert getattr(sent, field) is getattr(asked, field), field


async def test_the_time_of_the_steps_is_noted() -> None:
    """In addition to what was noted before."""
    inner = PromptService()
    clock = iter([1.0, 1.25]).__next__
    stage = Preprocess(inner, steps=[SCALE], info=model, deferred_bytes=-1, clock=clock)
    asked = ask()
    asked.trace.preprocess = 0.5

    await stage(asked)

    assert asked.trace.preprocess == 0.75


@pytest.mark.parametrize(("rows", "offloaded"), [(4, False), (5, True)])
async def test_large_tensors_are_processed_in_a_thread(rows: int, *, offloaded: bool) -> None:
    """The loop has other requests; the result is the same."""
    inner = PromptService()
    stage = Preprocess(inner, steps=[SCALE], info=model, inline_bytes=4 * 24, deferred_bytes=-1)
    submitted: list[object] = []
    run = stage._offload.timed

    async def watched(*arguments: object) -> object:
        submitted.append(arguments)
        return await run(*arguments)  # type: ignore[arg-type]

    stage._offload.timed = watched  # type: ignore[method-assign, assignment]
    await stage(ask(rows))
    stage._offload.close()

    assert bool(submitted) == offloaded
    assert inner.asked[0].inputs[0].array().tolist() == [[2.0] * 6] * rows


async def test_a_step_that_is_never_brief_runs_in_a_thread_whatever_the_bytes() -> None:
    """A small file may be a large picture, so neither the loop nor a batch's turn is for it."""

    class Slow(Scale, frozen=True, kw_only=True):
        inline_bytes = -1

    inner = PromptService()
    info = model()
    stage = Preprocess(inner, steps=[Slow(factor=0.5)], info=lambda: info)
    threads: list[str] = []
    kernel = stage._bound.kernel()

    def watched(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        threads.append(threading.current_thread().name)
        return kernel(tensors)

    stage._bound._kernel = watched
    await stage(ask(1))

    assert [name.startswith("steps") for name in threads] == [True]
    assert inner.asked[0].finish is None
    assert inner.asked[0].inputs[0].array().tolist() == [[2.0] * 6]


async def test_a_model_that_changed_is_served_as_it_is_now() -> None:
    """Steps follow the worker."""
    inner = PromptService()
    infos: list[ModelInfo] = [model(), takes("FP64", -1, 6)]
    stage = Preprocess(inner, steps=[SCALE], info=lambda: infos[0], deferred_bytes=-1)
    await stage(ask())
    infos.pop(0)

    with pytest.raises(InvalidRequest, match="FP32 given, FP64 expected"):
        await stage(ask())


async def test_an_unknown_model_is_not_ready() -> None:
    """Nothing can be prepared for it."""
    stage = Preprocess(PromptService(), steps=[SCALE], info=lambda: None)

    with pytest.raises(NoReadyEndpoint):
        await stage(ask())
    assert (
        repr(stage)
        == "<Preprocess [scale] <Bound to nothing yet> <Pace of up to 16384 bytes on the loop>>"
    )


async def test_a_small_input_is_left_to_the_batch() -> None:
    """It goes on as it came, with what is to be done to it."""
    inner = PromptService()
    known = model()
    stage = Preprocess(inner, steps=[SCALE], info=lambda: known)
    await stage(ask())
    await stage(ask(2))

    first, second = inner.asked
    assert first.inputs[0].array().tolist() == [[4.0] * 6]
    assert finished(first).inputs[0].array().tolist() == [[2.0] * 6]
    # Two requests with the same steps may share a batch.
    assert first.finish is second.finish
    assert compatibility(first) == compatibility(second)


async def test_what_is_to_be_done_keeps_requests_apart() -> None:
    """Equal tensors under other steps are other questions to the model."""
    inner = PromptService()
    await Preprocess(inner, steps=[SCALE], info=model)(ask())
    await Preprocess(inner, steps=[input_step("clip", max=1)], info=model)(ask())

    first, second = inner.asked
    assert compatibility(first) != compatibility(second)


class Costly:
    """A step of unknown cost on the one input of a model, which is left as it is."""

    kind = "costly"
    rows_apart = True

    def __init__(self, *, inline_bytes: int = 0, rows_apart: bool = True) -> None:
        self.inline_bytes = inline_bytes
        self.rows_apart = rows_apart
        self.threads: list[str] = []

    def faults(self) -> tuple[()]:
        """None."""
        return ()

    def recipe(self) -> bytes:
        """Nothing decides anything."""
        return b""

    def before(self, info: ModelInfo) -> ModelInfo:
        """The same."""
        return info

    def bind(self, info: ModelInfo) -> Kernel:
        """A kernel that notes where it runs."""

        def run(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            self.threads.append(current_thread().name.partition("_")[0])
            return tensors

        return run


async def test_a_step_of_unknown_cost_runs_on_the_loop_once_it_has_proven_brief() -> None:
    """First in a thread, and again when it turns out to take long."""
    clock = Slow(0.0001)
    step: Any = Costly(rows_apart=False)
    stage = Preprocess(PromptService(), steps=[step], info=model, clock=clock)
    for rows in (2, 2, 1):
        await stage(ask(rows))
    clock.seconds = 0.5
    for rows in (2, 2):
        await stage(ask(rows))
    stage._offload.close()

    assert step.threads == ["steps", "MainThread", "MainThread", "MainThread", "steps"]


@pytest.mark.parametrize(
    ("step", "deferred"),
    [
        (Costly(inline_bytes=1 << 20), True),
        (Costly(inline_bytes=64 * 24), True),
        (Costly(inline_bytes=64 * 24 - 1), False),
        (Costly(inline_bytes=1 << 20, rows_apart=False), False),
        (Costly(), False),
    ],
)
async def test_only_what_a_batch_of_stays_brief_is_left_to_it(step: Any, *, deferred: bool) -> None:
    """A step that pads rows to each other is never left to a batch of strangers."""
    inner = PromptService()
    await Preprocess(inner, steps=[step], info=model)(ask())
    assert (inner.asked[0].finish is not None) is deferred
    assert bool(step.threads) is not deferred


class Slow:
    """A clock on which every reading comes so many seconds after the last one."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now = seconds, 0.0

    def __call__(self) -> float:
        """The next instant."""
        self.now += self.seconds
        return self.now


async def test_steps_that_prove_slow_leave_the_loop_whatever_their_size() -> None:
    """A byte of a picture costs a thousand times what a byte of a vector does."""
    inner = PromptService()
    stage = Preprocess(inner, steps=[SCALE], info=model, clock=Slow(0.005))
    first, second = ask(), ask()

    await stage(first)
    sent = finished(inner.asked[0])
    stage._inline = None  # type: ignore[assignment] # any use of it would fail
    await stage(second)
    stage._offload.close()

    # The first was left to its batch, where it took 5 ms.
    assert inner.asked[0].finish is not None
    assert inner.asked[1].finish is None
    assert sent.inputs[0].array().tolist() == inner.asked[1].inputs[0].array().tolist()


async def test_a_full_pool_sheds() -> None:
    """What cannot be processed in time is refused at once."""
    pool = Offload(threads=1, backlog=0)
    entered, opened = threading.Event(), threading.Event()

    def held(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        entered.set()
        assert opened.wait(30)
        return tensors

    busy = asyncio.ensure_future(pool.run(held, ask().inputs))
    await asyncio.sleep(0)
    assert entered.wait(30)
    inner = PromptService()
    stage = Preprocess(
        inner, steps=[SCALE], info=model, offload=pool, inline_bytes=0, deferred_bytes=-1
    )

    with pytest.raises(Shed, match="no more are taken"):
        await stage(ask())
    opened.set()
    await busy
    await stage(ask())
    pool.close()

    assert len(inner.asked) == 1
