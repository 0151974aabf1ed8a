# SPDX-License-Identifier: Apache-2.0
"""Where a model's steps run: bound to the model of the moment, in place or in a thread."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from threading import BoundedSemaphore
from time import perf_counter
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.errors import DeadlineExceeded, NoReadyEndpoint, Shed
from gateway.wire.message import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from gateway.steps import Kernel
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Tensor

# Bytes of tensors that a slow kernel (softmax, top_k) handles in a few milliseconds and a quick one
# (scale) in a tenth of one; an exchange of threads costs about as much as the latter.
INLINE_BYTES: Final = 1 << 20


class Offload:
    """At most *threads* kernels at a time and *backlog* more that wait for a thread.

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

    def __repr__(self) -> str:
        return f"<Offload of at most {self._bound}>"

    async def run(
        self, kernel: Kernel, tensors: tuple[Tensor, ...], deadline: float = NEVER
    ) -> tuple[Tensor, ...]:
        """What *kernel* makes of *tensors*; raises Shed where no place is free.

        Raises DeadlineExceeded where *deadline* has passed before a thread could begin.
        """
        if not self._places.acquire(blocking=False):
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
    ) -> tuple[Tensor, ...]:
        if deadline < self._clock():
            raise DeadlineExceeded("the deadline passed before the inputs could be preprocessed")
        return kernel(tensors)

    def _leave(self, _: Future[tuple[Tensor, ...]]) -> None:
        self._places.release()


class Pace:
    """What a kernel of unknown cost has been seen to handle within *brief* seconds.

    *limit*, in bytes, is the largest input whose run was last seen to be brief; at first it is
    none, so the first run of each size is made in a thread. *clock* gives seconds.
    """

    def __init__(self, *, brief: float = 0.001, clock: Callable[[], float] = perf_counter) -> None:
        self.limit = -1
        self._brief = brief
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Pace {self.limit} bytes>"

    def timed(self, kernel: Kernel) -> Kernel:
        """*kernel*, each run of which is learned from."""

        def run(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            started = self._clock()
            made = kernel(tensors)
            size = sum([tensor.nbytes for tensor in tensors])
            if self._clock() - started < self._brief:
                self.limit = max(self.limit, size)
            else:
                self.limit = min(self.limit, size - 1)
            return made

        return run


@cache
def all_cores() -> Offload:
    """The threads of this process for what is heavy, one a core, shared by all models.

    Kernels that wait hold no more than their encoded inputs, so more of them may wait.
    """
    return Offload(threads=len(os.sched_getaffinity(0)), backlog=128)


class Bound:
    """The kernel that *bind* makes for what *info* gives; made anew when that is another object."""

    def __init__(
        self, bind: Callable[[ModelInfo], Kernel], info: Callable[[], ModelInfo | None]
    ) -> None:
        self._bind = bind
        self._info = info
        self._seen: ModelInfo | None = None
        self._kernel: Kernel
        self.batched = False

    def __repr__(self) -> str:
        return "<Bound>" if self._seen else "<Bound to nothing yet>"

    def kernel(self) -> Kernel:
        """The kernel for now; raises NoReadyEndpoint, ConfigError where the steps do not fit."""
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


def ignore_float_errors() -> None:
    """Let this thread or context compute infinities and NaN without a word."""
    np.seterr(all="ignore")
