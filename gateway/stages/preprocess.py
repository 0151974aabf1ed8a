# SPDX-License-Identifier: Apache-2.0
"""Preprocess: a model's input steps, between what clients send and what the model takes."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from gateway.stages.offload import INLINE_BYTES, Bound, Inline, Offload
from gateway.steps import bind_inputs
from gateway.wire.message import InferRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.steps import InputStep
    from gateway.wire.message import InferResponse, Service
    from gateway.wire.model import ModelInfo


class Preprocess:
    """Runs *steps* on the inputs of each request; above *inline_bytes* of them in a thread.

    *info* gives the model as workers describe it now. *clock* gives seconds.
    """

    def __init__(
        self,
        inner: Service,
        *,
        steps: Sequence[InputStep],
        info: Callable[[], ModelInfo | None],
        offload: Offload | None = None,
        inline_bytes: int = INLINE_BYTES,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._inner = inner
        self._steps = tuple(steps)
        self._offload = offload if offload is not None else Offload(threads=1)
        self._inline = Inline().run
        self._inline_bytes = inline_bytes
        self._clock = clock
        self._bound = Bound(lambda model: bind_inputs(model, self._steps), info)

    def __repr__(self) -> str:
        kinds = ", ".join(step.kind for step in self._steps)
        return f"<Preprocess [{kinds}] {self._bound!r}>"

    async def __call__(self, request: InferRequest) -> InferResponse:
        """Answer *request*; raises InvalidRequest for inputs that a step cannot take, Shed."""
        kernel = self._bound.kernel()
        started = self._clock()
        given = request.inputs
        if sum([tensor.nbytes for tensor in given]) <= self._inline_bytes:
            inputs = self._inline(kernel, given)
        else:
            inputs = await self._offload.run(kernel, given)
        request.trace.preprocess += self._clock() - started
        return await self._inner(
            InferRequest(
                request.model,
                inputs,
                id=request.id,
                outputs=request.outputs,
                parameters=request.parameters,
                deadline=request.deadline,
                priority=request.priority,
                trace=request.trace,
                rules=request.rules,
                key=request.key,
                form=request.form,
            )
        )
