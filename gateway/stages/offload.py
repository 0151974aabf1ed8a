# SPDX-License-Identifier: Apache-2.0
"""Where a model's steps run: bound to the model of the moment, in place or in a thread.

What takes longer than about a millisecond does not run on the event loop. How long a kernel takes
is measured, since a byte of a picture costs a thousand times what a byte of a scaled vector does.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from copy import copy
from threading import BoundedSemaphore
from time import perf_counter
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from gateway.errors import DeadlineExceeded, NoReadyEndpoint, Shed
from gateway.wire.message import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from gateway.steps import Kernel
    from gateway.telemetry.cells import SumCell
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Tensor

T = TypeVar("T")


class Offload:
    """At most *threads* kernels at a time and *backlog* more that wait for a thread.

    One for a process, with a thread for each core: more of them would only wait for each other.
    numpy lets go of the interpreter in a kernel's heavy part, so the loop runs on meanwhile.
    *clock* gives the instants that deadlines are.
    """

    def __init__(
        self,
        *,
        threads: int = 2,
        backlog: int = 16,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._clock = clock
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix="steps", initializer=ignore_float_errors
        )
        self._places = BoundedSemaphore(threads + backlog)
        self._bound = threads + backlog
        self._refused: SumCell | None = None

    def __repr__(self) -> str:
        return f"<Offload of at most {self._bound}>"

    def counting(self, refused: SumCell) -> Offload:
        """The same threads and places for one model: *refused* counts what of it finds none."""
        same = copy(self)
        same._refused = refused  # noqa: SLF001 - its own kind
        return same

    async def run(
        self, kernel: Kernel, tensors: tuple[Tensor, ...], deadline: float = NEVER
    ) -> tuple[Tensor, ...]:
        """What *kernel* makes of *tensors*; raises Shed where no place is free.

        Raises DeadlineExceeded where *deadline* has passed before a thread could begin.
        """
        return (await self.timed(kernel, tensors, deadline))[0]

    async def timed(
        self, kernel: Kernel, tensors: tuple[Tensor, ...], deadline: float = NEVER
    ) -> tuple[tuple[Tensor, ...], float]:
        """What `run` gives, and the seconds that it took once a thread had it."""
        if not self._places.acquire(blocking=False):
            if self._refused is not None:
                self._refused.value += 1
            raise Shed(f"{self._bound} large tensors are being processed; no more are taken")
        try:
            job = self._pool.submit(self._begin, kernel, tensors, deadline)
        except BaseException:
            self._places.release()
            raise
        # Called once, whether the job ran or was cancelled before it could.
        job.add_done_callback(self._leave)
        return await asyncio.wrap_future(job)

    def close(self) -> None:
        """End the threads; jobs that have not begun are cancelled."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(
        self, kernel: Kernel, tensors: tuple[Tensor, ...], deadline: float
    ) -> tuple[tuple[Tensor, ...], float]:
        started = self._clock()
        if deadline < started:
            raise DeadlineExceeded("the deadline passed before the inputs could be preprocessed")
        made = kernel(tensors)
        return made, self._clock() - started

    def _leave(self, _: Future[tuple[tuple[Tensor, ...], float]]) -> None:
        self._places.release()


class Bound(Generic[T]):
    """What *bind* makes of what *info* gives, mostly a kernel; anew when that is another object."""

    def __init__(
        self, bind: Callable[[ModelInfo], T], info: Callable[[], ModelInfo | None]
    ) -> None:
        self._bind = bind
        self._info = info
        self._seen: ModelInfo | None = None
        self._kernel: T
        self.batched = False

    def __repr__(self) -> str:
        return "<Bound>" if self._seen else "<Bound to nothing yet>"

    def kernel(self) -> T:
        """The one for now; raises NoReadyEndpoint, ConfigError where the steps do not fit."""
        info = self._info()
        if info is None:
            raise NoReadyEndpoint("the model is not loaded by any worker yet")
        if info is not self._seen:
            self._kernel = self._bind(info)
            self._seen = info
            self.batched = info.batched
        return self._kernel


class Inline:
    """Runs kernels in place, in a context of their own where float errors stay silent.

    An overflow is an infinity, as IEEE 754 has it, and no warning; setting that for every call
    would cost more than most kernels.
    """

    def __init__(self) -> None:
        context = copy_context()
        context.run(ignore_float_errors)
        self._run = context.run

    def __repr__(self) -> str:
        return "<Inline>"

    def run(self, kernel: Kernel, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What *kernel* makes of *tensors*."""
        return self._run(kernel, tensors)


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def ignore_float_errors() -> None:
    """Let this thread or context compute infinities and NaN without a word."""
    np.seterr(all="ignore")
