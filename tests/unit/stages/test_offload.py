# SPDX-License-Identifier: Apache-2.0
"""Where steps run: bound to the model of the moment, in place or in a bounded number of threads."""

from __future__ import annotations

import asyncio
import threading
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.errors import DeadlineExceeded, InvalidRequest, NoReadyEndpoint, Shed
from gateway.stages.offload import Bound, Inline, Offload
from gateway.steps import bind_inputs
from gateway.telemetry.cells import SumCell
from gateway.wire.tensor import Tensor
from tests.support.steps import input_step, model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.steps import Kernel
    from gateway.wire.model import ModelInfo

GIVEN = (Tensor.of("x", np.full((1, 6), 3e38, np.float32)),)


@pytest.fixture
def offload() -> Iterator[Offload]:
    """One thread, and one place before it."""
    pool = Offload(threads=1, backlog=1)
    yield pool
    pool.close()


class Gate:
    """A kernel that holds its thread until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.ran = 0

    def __call__(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Wait, and give back what came."""
        self.ran += 1
        self.entered.set()
        assert self.opened.wait(30)
        return tensors


async def test_a_kernel_runs_in_another_thread(offload: Offload) -> None:
    """And its result comes back to the loop."""
    threads: list[str] = []

    def kernel(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        threads.append(threading.current_thread().name)
        return tensors

    assert await offload.run(kernel, GIVEN) is GIVEN
    assert threads[0].startswith("steps")


async def test_what_a_kernel_raises_reaches_the_caller(offload: Offload) -> None:
    """And its place is free again."""

    def kernel(_: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        raise InvalidRequest("no")

    for _ in range(5):
        with pytest.raises(InvalidRequest):
            await offload.run(kernel, GIVEN)


async def test_beyond_its_places_it_sheds(offload: Offload) -> None:
    """There is one queue in a gateway, and this is not it."""
    gate = Gate()
    running, waiting = (asyncio.ensure_future(offload.run(gate, GIVEN)) for _ in range(2))
    await asyncio.sleep(0)

    with pytest.raises(Shed, match="2 large tensors are being processed"):
        await offload.run(gate, GIVEN)
    gate.opened.set()

    assert await running is await waiting is GIVEN
    assert await offload.run(gate, GIVEN) is GIVEN


async def test_what_finds_no_place_counts_for_its_model(offload: Offload) -> None:
    """The threads are those of all models; each knows what of its own was refused."""
    one, other = SumCell(), SumCell()
    gate = Gate()
    busy = [asyncio.ensure_future(offload.counting(one).run(gate, GIVEN)) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(Shed):
        await offload.counting(other).run(gate, GIVEN)
    gate.opened.set()

    assert await asyncio.gather(*busy) == [GIVEN] * 2
    assert (one.value, other.value) == (0, 1)


async def test_a_job_whose_caller_went_does_not_run_and_frees_its_place(offload: Offload) -> None:
    """Unless it runs already: a thread cannot be stopped."""
    gate = Gate()
    running, waiting = (asyncio.ensure_future(offload.run(gate, GIVEN)) for _ in range(2))
    await asyncio.sleep(0)
    assert gate.entered.wait(30)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    third = asyncio.ensure_future(offload.run(gate, GIVEN))
    await asyncio.sleep(0)
    gate.opened.set()

    assert await running is await third is GIVEN
    assert gate.ran == 2


async def test_a_job_whose_deadline_passed_while_it_waited_does_not_run() -> None:
    """Nobody wants its result any more, and others wait for the thread."""
    now = [10.0]
    pool = Offload(threads=1, clock=lambda: now[0])
    ran: list[object] = []

    def kernel(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        ran.append(tensors)
        return tensors

    assert await pool.run(kernel, GIVEN, 10.0) == GIVEN
    now[0] = 10.5
    with pytest.raises(DeadlineExceeded, match="before the inputs could be preprocessed"):
        await pool.run(kernel, GIVEN, 10.4)
    pool.close()

    assert len(ran) == 1


async def test_a_closed_pool_keeps_no_place(offload: Offload) -> None:
    """Work that comes after the end fails each time in the same way."""
    offload.close()
    for _ in range(3):
        with pytest.raises(RuntimeError, match="shutdown"):
            await offload.run(lambda tensors: tensors, GIVEN)


@pytest.mark.parametrize("inline", [True, False])
async def test_an_overflow_is_an_infinity_and_no_warning(offload: Offload, *, inline: bool) -> None:
    """A client's large number must not write into the gateway's log, wherever it is scaled."""
    kernel = bind_inputs(model(), [input_step("scale", factor=10)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = Inline().run(kernel, GIVEN) if inline else await offload.run(kernel, GIVEN)

    assert made[0].array().tolist() == [[float("inf")] * 6]


def test_running_in_place_leaves_the_callers_settings_alone() -> None:
    """The silence is the kernel's own."""
    before = np.geterr()
    Inline().run(bind_inputs(model(), [input_step("scale", factor=10)]), GIVEN)

    assert np.geterr() == before


def test_steps_are_bound_again_when_the_model_changes() -> None:
    """And only then."""
    bound: list[ModelInfo] = []
    infos = [model(), model()]
    given = [infos[0]]

    def bind(info: ModelInfo) -> Kernel:
        bound.append(info)
        return lambda tensors: tensors

    kernels = Bound(bind, lambda: given[0])
    kernels.kernel()
    kernels.kernel()
    given[0] = infos[1]
    kernels.kernel()

    assert [info is expected for info, expected in zip(bound, infos, strict=True)] == [True, True]


def test_without_a_model_there_is_nothing_to_bind_to() -> None:
    """No worker has said yet what it serves."""
    with pytest.raises(NoReadyEndpoint):
        Bound(lambda info: bind_inputs(info, []), lambda: None).kernel()
