# SPDX-License-Identifier: Apache-2.0
"""Postprocess: a model's output steps, between what the model gives and what clients get."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from gateway.errors import BadAnswer
from gateway.stages.offload import INLINE_BYTES, Bound, Inline, Offload
from gateway.steps import bind_outputs
from gateway.wire.message import InferResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.steps import OutputStep
    from gateway.wire.message import InferRequest, RequestedOutput, Service
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Tensor


class Postprocess:
    """Runs *steps* on the outputs of each answer; above *inline_bytes* of them in a thread.

    Steps rename, add and replace outputs, so the model is asked for all of its own, and what the
    client asked for is chosen from the steps' result. *info* gives the model as workers describe it
    now.
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
        self._inline_bytes = min([inline_bytes, *(step.inline_bytes for step in self._steps)])
        self._bound = Bound(lambda model: bind_outputs(model, self._steps), info)

    def __repr__(self) -> str:
        kinds = ", ".join(step.kind for step in self._steps)
        return f"<Postprocess [{kinds}] {self._bound!r}>"

    async def __call__(self, request: InferRequest) -> InferResponse:
        """Answer *request*; raises BadAnswer for outputs that a step cannot take, Shed."""
        kernel = self._bound.kernel()
        wanted = request.outputs
        response = await self._inner(_for_all_outputs(request) if wanted else request)
        given = response.outputs
        if sum([tensor.nbytes for tensor in given]) <= self._inline_bytes:
            outputs = self._inline(kernel, given)
        else:
            outputs = await self._offload.run(kernel, given)
        if wanted:
            outputs = _chosen(outputs, wanted)
        return InferResponse(outputs, version=response.version, parameters=response.parameters)


def _for_all_outputs(request: InferRequest) -> InferRequest:
    changed = copy(request)
    changed.outputs = ()
    return changed


def _chosen(outputs: tuple[Tensor, ...], wanted: tuple[RequestedOutput, ...]) -> tuple[Tensor, ...]:
    """Those of *outputs* that were asked for, in the order in which they were."""
    by_name = {tensor.name: tensor for tensor in outputs}
    try:
        return tuple([by_name[output.name] for output in wanted])
    except KeyError as error:
        raise BadAnswer(f"output {error} is missing in the worker's answer") from None
