# SPDX-License-Identifier: Apache-2.0
"""Postprocess: a model's output steps, between what the model gives and what clients get."""

from __future__ import annotations

from copy import copy
from time import perf_counter
from typing import TYPE_CHECKING

from gateway.errors import BadAnswer
from gateway.stages.offload import Bound, Inline, Offload
from gateway.stages.pace import INLINE_BYTES, Pace
from gateway.steps import bind_outputs
from gateway.wire.message import InferResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.steps import OutputStep
    from gateway.wire.message import InferRequest, RequestedOutput, Service
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Tensor


class Postprocess:
    """Runs *steps* on the outputs of each answer; in a thread where they take long.

    Long is what has proven so, and more than *inline_bytes*. Steps rename, add and replace outputs,
    so the model is asked for all of its own, and what the client asked for is chosen from the
    steps' result. *info* gives the model as workers describe it now.
    """

    def __init__(
        self,
        inner: Service,
        *,
        steps: Sequence[OutputStep],
        info: Callable[[], ModelInfo | None],
        offload: Offload | None = None,
        inline_bytes: int = INLINE_BYTES,
    ) -> None:
        self._inner = inner
        self._steps = tuple(steps)
        self._offload = offload if offload is not None else Offload(threads=1)
        self._inline = Inline().run
        self._pace = Pace(
            inline_bytes=min([inline_bytes, *(step.inline_bytes for step in self._steps)])
        )
        self._bound = Bound(lambda model: bind_outputs(model, self._steps), info)

    def __repr__(self) -> str:
        kinds = ", ".join(step.kind for step in self._steps)
        return f"<Postprocess [{kinds}] {self._bound!r} {self._pace!r}>"

    async def __call__(self, request: InferRequest) -> InferResponse:
        """Answer *request*; raises BadAnswer for outputs that a step cannot take, Shed."""
        kernel = self._bound.kernel()
        wanted = request.outputs
        response = await self._inner(for_all_outputs(request) if wanted else request)
        given = response.outputs
        size, pace = sum([tensor.nbytes for tensor in given]), self._pace
        if size > pace.within:
            outputs, seconds = await self._offload.timed(kernel, given)
            pace.observe(size, seconds)
        else:
            started = perf_counter()
            outputs = self._inline(kernel, given)
            seconds = perf_counter() - started
            if pace.due():
                pace.observe(size, seconds)
        request.trace.postprocess += seconds
        if wanted:
            outputs = chosen(outputs, wanted)
        return InferResponse(outputs, version=response.version, parameters=response.parameters)


def for_all_outputs(request: InferRequest) -> InferRequest:
    """*request* as one for every output of the model."""
    changed = copy(request)
    changed.outputs = ()
    return changed


def chosen(outputs: tuple[Tensor, ...], wanted: tuple[RequestedOutput, ...]) -> tuple[Tensor, ...]:
    """Those of *outputs* that were asked for, in the order in which they were."""
    by_name = {tensor.name: tensor for tensor in outputs}
    try:
        return tuple([by_name[output.name] for output in wanted])
    except KeyError as error:
        raise BadAnswer(f"output {error} is missing in the worker's answer") from None
