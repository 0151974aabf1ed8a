# SPDX-License-Identifier: Apache-2.0
"""Carry: inputs of the model that steps on the way back read, such as an attention mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import NoReadyEndpoint
from gateway.stages.merge import finished
from gateway.steps import carried
from gateway.wire.message import InferResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.steps import OutputStep
    from gateway.wire.message import InferRequest, Service
    from gateway.wire.model import ModelInfo


class Carry:
    """Puts the inputs that *steps* read behind the outputs of each answer.

    They are the request's own, so their rows are those of its answer, whoever it was merged with.
    *info* gives the model as workers describe it now.
    """

    def __init__(
        self,
        inner: Service,
        *,
        steps: Sequence[OutputStep],
        info: Callable[[], ModelInfo | None],
    ) -> None:
        self._inner = inner
        self._steps = tuple(steps)
        self._info = info
        self._seen: ModelInfo | None = None
        self._names: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"<Carry {sorted(self._names)}>"

    async def __call__(self, request: InferRequest) -> InferResponse:
        """The answer to *request* with what is carried; raises NoReadyEndpoint, InvalidRequest."""
        info = self._info()
        if info is None:
            raise NoReadyEndpoint("the model is not loaded by any worker yet")
        if info is not self._seen:
            self._names = frozenset(spec.name for spec in carried(info, self._steps))
            self._seen = info
        # What is left to be done for a whole batch would be too late here.
        request = finished(request)
        taken = [tensor for tensor in request.inputs if tensor.name in self._names]
        response = await self._inner(request)
        return InferResponse(
            (*response.outputs, *taken), version=response.version, parameters=response.parameters
        )
