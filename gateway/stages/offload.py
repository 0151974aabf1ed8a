# SPDX-License-Identifier: Apache-2.0
"""Offload: threads for kernels that would hold up the event loop, and no queue before them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.errors import Shed

if TYPE_CHECKING:
    from concurrent.futures import Future

    from gateway.steps import Kernel
    from gateway.wire.tensor import Tensor

# Bytes of tensors that a slow kernel (softmax, top_k) handles in a few milliseconds and a quick one
# (scale) in a tenth of one; an exchange of threads costs about as much as the latter.
INLINE_BYTES: Final = 1 << 20


class Offload:
    """At most *threads* kernels at a time and *backlog* more that wait for a thread.

    numpy lets go of the interpreter in a kernel's heavy part, so the loop runs on meanwhile.
    """

    def __init__(self, *, threads: int = 2, backlog: int = 16) -> None:
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix="steps", initializer=ignore_float_errors
        )
        self._places = BoundedSemaphore(threads + backlog)
        self._bound = threads + backlog

    def __repr__(self) -> str:
        return f"<Offload of at most {self._bound}>"

    async def run(self, kernel: Kernel, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What *kernel* makes of *tensors*; raises Shed where no place is free."""
        if not self._places.acquire(blocking=False):
            raise Shed(f"{self._bound} large tensors are being processed; no more are taken")
        try:
            job = self._pool.submit(kernel, tensors)
        except BaseException:
            self._places.release()
            raise
        # Called once, whether the job ran or was cancelled before it could.
        job.add_done_callback(self._leave)
        return await asyncio.wrap_future(job)

    def close(self) -> None:
        """End the threads; jobs that have not begun are cancelled."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _leave(self, _: Future[tuple[Tensor, ...]]) -> None:
        self._places.release()


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
