# SPDX-License-Identifier: Apache-2.0
"""Preview: the tensors that would reach a model, in the place of its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.errors import NotFound
from gateway.stages.merge import finished
from gateway.stages.preprocess import Preprocess
from gateway.steps import client_info
from gateway.wire.message import InferResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.stages.offload import Offload
    from gateway.steps import InputStep, Rewiring
    from gateway.wire.message import InferRequest, Service
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Buffer


class Preview:
    """A model that answers with its finished inputs; *info* gives it as workers describe it now."""

    placed_by = ""
    questions = None
    repeats = None
    slices = None
    labelled = False

    def __init__(
        self,
        *,
        steps: Sequence[InputStep | Rewiring],
        info: Callable[[], ModelInfo | None],
        offload: Offload | None = None,
    ) -> None:
        self._steps = tuple(steps)
        self._given = info
        self._seen: ModelInfo | None = None
        self._info: ModelInfo | None = None
        self.service: Service = _echo
        if steps:
            self.service = Preprocess(_echo, steps=steps, info=info, offload=offload)

    def __repr__(self) -> str:
        return f"<Preview {self.service!r}>"

    @property
    def info(self) -> ModelInfo | None:
        """What clients send, and as outputs what the model gets; raises ConfigError."""
        seen = self._given()
        if seen is not self._seen:
            client = seen and client_info(seen, self._steps)
            self._info = client and msgspec.structs.replace(
                client, outputs=seen.inputs if seen else (), labels={}
            )
            self._seen = seen
        return self._info

    def turn_away(self, body: Buffer) -> None:
        """Nothing is queued here."""


class Previewed(Protocol):
    """A model that has a preview, or None where that is off."""

    preview: Preview | None


class Previews(Mapping[str, Preview]):
    """The previews of *models*, as those are at the time."""

    def __init__(self, models: Mapping[str, Previewed]) -> None:
        self._models = models

    def __repr__(self) -> str:
        return f"<Previews {list(self)}>"

    def __getitem__(self, name: str) -> Preview:
        """The preview of the model *name*; raises KeyError, and NotFound where it is off."""
        preview = self._models[name].preview
        if preview is None:
            raise NotFound(
                f"preprocess of model '{name}' is off; 'debug: {{preprocess: true}}' in its section"
                " turns it on"
            )
        return preview

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)


async def _echo(request: InferRequest) -> InferResponse:
    """The finished inputs of *request*, or those that it asks for, as outputs."""
    tensors = finished(request).inputs
    if request.outputs:
        by_name = {tensor.name: tensor for tensor in tensors}
        tensors = tuple([by_name[output.name] for output in request.outputs])
    return InferResponse(tensors)
