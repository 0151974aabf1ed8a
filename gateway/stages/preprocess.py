# SPDX-License-Identifier: Apache-2.0
"""Preprocess: a model's input steps, between what clients send and what the model takes."""

from __future__ import annotations

from copy import copy
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.stages.offload import INLINE_BYTES, Bound, Inline, Offload, Pace, all_cores
from gateway.steps import bind_inputs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.steps import InputStep, Kernel, Rewiring
    from gateway.wire.message import Finish, InferRequest, InferResponse, Service
    from gateway.wire.model import ModelInfo


# Up to so many bytes the work around a kernel costs more than the kernel: it is left to be done for
# a whole batch at once, which gives the same rows and stays within what may run on the loop.
DEFERRED_BYTES: Final = 16 << 10
# So many of the largest deferred inputs are what a kernel may handle on the loop.
_DEFERRED_ROWS: Final = 64


class Preprocess:
    """Runs *steps* on the inputs of each request; above *inline_bytes* of them in a thread.

    A small input (*deferred_bytes*) of a batched model goes on as it is, with the steps as its
    `finish`: equal inputs become equal ones, so what may be merged behind them may be before.
    *info* gives the model as workers describe it now. *clock* gives seconds.
    """

    def __init__(
        self,
        inner: Service,
        *,
        steps: Sequence[InputStep | Rewiring],
        info: Callable[[], ModelInfo | None],
        offload: Offload | None = None,
        inline_bytes: int = INLINE_BYTES,
        deferred_bytes: int = DEFERRED_BYTES,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._inner = inner
        self._steps = tuple(steps)
        self._inline = Inline().run
        self._inline_bytes = min([inline_bytes, *(step.inline_bytes for step in self._steps)])
        # What is slow for its size is not left to the loop for a whole batch.
        self._deferred_bytes = min(deferred_bytes, self._inline_bytes // _DEFERRED_ROWS)
        if not all(step.rows_apart for step in self._steps):
            self._deferred_bytes = -1
        # Only where a step's cost shows when it runs.
        self._pace = None if self._inline_bytes else Pace(clock=clock)
        if offload is None:
            # What never runs on the loop is heavy: it has a thread for each core.
            offload = Offload(threads=1) if self._inline_bytes >= 0 else all_cores()
        self._offload = offload
        self._clock = clock
        self._kernel: Kernel | None = None
        self._finish: Finish | None = None
        self._bound = Bound(lambda model: bind_inputs(model, self._steps), info)

    def __repr__(self) -> str:
        kinds = ", ".join(step.kind for step in self._steps)
        return f"<Preprocess [{kinds}] {self._bound!r}>"

    def __call__(self, request: InferRequest) -> Awaitable[InferResponse]:
        """Answer *request*; raises InvalidRequest for inputs that a step cannot take, Shed."""
        kernel = self._bound.kernel()
        given = request.inputs
        if self._bound.batched and len(given) == 1 and given[0].nbytes <= self._deferred_bytes:
            if kernel is not self._kernel:
                self._kernel, self._finish = kernel, partial(self._inline, kernel)
            request.finish = self._finish
            return self._inner(request)
        return self._now(request, kernel)

    async def _now(self, request: InferRequest, kernel: Kernel) -> InferResponse:
        given = request.inputs
        started = self._clock()
        limit = self._inline_bytes
        if self._pace is not None:
            limit, kernel = self._pace.limit, self._pace.timed(kernel)
        if sum([tensor.nbytes for tensor in given]) <= limit:
            inputs = self._inline(kernel, given)
        else:
            inputs = await self._offload.run(kernel, given, request.deadline)
        request.trace.preprocess += self._clock() - started
        changed = copy(request)
        changed.inputs = inputs
        return await self._inner(changed)
