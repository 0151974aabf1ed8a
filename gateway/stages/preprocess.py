# SPDX-License-Identifier: Apache-2.0
"""Preprocess: a model's input steps, between what clients send and what the model takes."""

from __future__ import annotations

from copy import copy
from time import perf_counter
from typing import TYPE_CHECKING

from gateway.stages.offload import Bound, Inline, Offload
from gateway.stages.pace import DEFERRED_BYTES, INLINE_BYTES, Pace
from gateway.steps import bind_inputs, client_info

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.steps import InputStep, Kernel, Rewiring
    from gateway.wire.message import Finish, InferRequest, InferResponse, Service
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Tensor


class Preprocess:
    """Runs *steps* on the inputs of each request; in a thread where they take long.

    A small input (*deferred_bytes*) of a batched model goes on as it is, with the steps as its
    `finish`: equal inputs become equal ones, so what may be merged behind them may be before.
    Steps that have proven slow are neither left to a batch, which has up to *batch_rows* rows, nor
    run on the event loop; nor are more than *inline_bytes*. *info* gives the model as workers
    describe it now. *clock* gives seconds.
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
        batch_rows: int = 64,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._inner = inner
        self._steps = tuple(steps)
        self._inline = Inline().run
        self._offload = offload if offload is not None else Offload(threads=1)
        # The dearest step says what all may cost; 0 is for one that nobody can know yet.
        declared = min([inline_bytes, *(step.inline_bytes for step in self._steps)])
        if not all(step.rows_apart for step in self._steps):
            deferred_bytes = -1
        self._pace = Pace(inline_bytes=declared, deferred_bytes=deferred_bytes, rows=batch_rows)
        self._clock = clock
        self._kernel: Kernel | None = None
        self._finish: Finish | None = None
        self._bound = Bound(self._bind, info)

    def __repr__(self) -> str:
        kinds = ", ".join(step.kind for step in self._steps)
        return f"<Preprocess [{kinds}] {self._bound!r} {self._pace!r}>"

    def __call__(self, request: InferRequest) -> Awaitable[InferResponse]:
        """Answer *request*; raises InvalidRequest for inputs that a step cannot take, Shed."""
        kernel = self._bound.kernel()
        given = request.inputs
        if self._bound.batched and len(given) == 1 and given[0].nbytes <= self._pace.deferrable:
            if kernel is not self._kernel:
                self._kernel, self._finish = kernel, self._deferred(kernel)
            request.finish = self._finish
            return self._inner(request)
        return self._now(request, kernel)

    async def _now(self, request: InferRequest, kernel: Kernel) -> InferResponse:
        given, pace = request.inputs, self._pace
        size = sum([tensor.nbytes for tensor in given])
        started = self._clock()
        if size <= pace.within:
            inputs = self._inline(kernel, given)
            seconds = self._clock() - started
            if pace.due():
                pace.observe(size, seconds)
        else:
            inputs, alone = await self._offload.timed(kernel, given, request.deadline)
            pace.observe(size, alone)
            seconds = self._clock() - started
        request.trace.preprocess += seconds
        changed = copy(request)
        changed.inputs = inputs
        return await self._inner(changed)

    def _deferred(self, kernel: Kernel) -> Finish:
        """*kernel* for whoever merges; what it costs there is measured too."""
        inline, pace, clock = self._inline, self._pace, self._clock

        def finish(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            if not pace.due():
                return inline(kernel, tensors)
            started = clock()
            made = inline(kernel, tensors)
            pace.observe(sum([tensor.nbytes for tensor in tensors]), clock() - started)
            return made

        return finish

    def _bind(self, model: ModelInfo) -> Kernel:
        kernel = bind_inputs(model, self._steps)
        if any(spec.datatype == "BYTES" for spec in client_info(model, self._steps).inputs):
            self._pace.distrust()
        return kernel
