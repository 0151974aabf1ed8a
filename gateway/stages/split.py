# SPDX-License-Identifier: Apache-2.0
"""Split: a share of a model's live requests goes to its candidate.

Who answers an id is the same in all gateway processes, and an id that has gone to the candidate
goes there at any larger share as well. A request that the candidate fails is answered by the model
that was asked: a model on trial costs no client an answer.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.errors import DeadlineExceeded, GatewayError
from gateway.upstream.identity import differs
from gateway.wire.message import InferResponse
from gateway.wire.selection import threshold

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from gateway.telemetry import Telemetry
    from gateway.wire.generation import Rollout
    from gateway.wire.message import InferRequest, Service
    from gateway.wire.model import ModelInfo
    from gateway.wire.selection import Selection


class Standing(Protocol):
    """A model that may answer in the place of another one."""

    @property
    def info(self) -> ModelInfo | None:
        """What clients see of it; None where it cannot be asked."""
        ...

    @property
    def ready(self) -> bool:
        """Whether a request would be answered now."""
        ...

    @property
    def core(self) -> Service:
        """Its stack below what is sampled and split."""
        ...


class _Arm:
    """Where the requests of one of the two are counted."""

    __slots__ = ("failed", "ok", "passed", "seconds")

    def __init__(self, model: str, arm: str, telemetry: Telemetry) -> None:
        cell = telemetry.candidates.requests.cell
        self.ok = cell(model, arm, "ok")
        self.failed = cell(model, arm, "failed")
        # The model behind the candidate could not be asked at all.
        self.passed = cell(model, arm, "unready")
        self.seconds = telemetry.candidates.seconds.cell(model, arm).observe


class Split:
    """Sends what *rollouts* say of *model* to its candidate, and all else to *inner*.

    *models* are all that are served; both mappings change under way. *selection* gives each id its
    number. Both arms are counted and timed while there is a share, so that they can be compared:
    the same traffic, at the same time.
    """

    def __init__(
        self,
        inner: Service,
        *,
        model: str,
        models: Mapping[str, Standing],
        rollouts: Mapping[str, Rollout],
        selection: Selection,
        telemetry: Telemetry,
    ) -> None:
        self._inner = inner
        self._model = model
        self._models = models
        self._rollouts = rollouts
        self._selection = selection
        self._live = _Arm(model, "live", telemetry)
        self._candidate = _Arm(model, "candidate", telemetry)
        # The last two that were compared, and whether they are alike.
        self._compared: tuple[ModelInfo | None, ModelInfo | None, bool] = (None, None, False)

    def __repr__(self) -> str:
        rollout = self._rollouts.get(self._model)
        told = "none" if rollout is None else f"{rollout.candidate} {rollout.share:g}"
        return f"<Split {self._model} candidate={told}>"

    def __call__(self, request: InferRequest) -> Awaitable[InferResponse]:
        """The answer of whoever the id of *request* belongs to."""
        rollout = self._rollouts.get(self._model)
        if rollout is None or not rollout.share or request.trace.probe:
            return self._inner(request)
        if rollout.share < 1:
            number = self._selection.number(request.inference_id or request.id, request.tenant)
            if number >= threshold(rollout.share):
                return self._timed(self._inner, request, self._live)
        standing = self._models.get(rollout.candidate)
        info = None if standing is None else self._fit(standing, rollout)
        if standing is None or info is None:
            self._candidate.passed.value += 1
            return self._timed(self._inner, request, self._live)
        return self._stand_in(standing, info, request, rollout.candidate)

    def _fit(self, standing: Standing, rollout: Rollout) -> ModelInfo | None:
        """What *standing* serves, None where it must not answer.

        Another file than the evidence is about has proven nothing, whoever has put it there.
        """
        theirs = standing.info
        if (
            theirs is None
            or not standing.ready
            or (rollout.digest and theirs.digest != rollout.digest)
        ):
            return None
        own = self._models[self._model].info if self._model in self._models else None
        compared = self._compared
        if compared[0] is not own or compared[1] is not theirs:
            alike = own is not None and not differs(own, theirs)
            compared = self._compared = (own, theirs, alike)
        return theirs if compared[2] else None

    async def _timed(self, service: Service, request: InferRequest, arm: _Arm) -> InferResponse:
        begun = perf_counter()
        try:
            response = await service(request)
        except GatewayError as error:
            if error.status >= 500:
                arm.failed.value += 1
            raise
        arm.ok.value += 1
        arm.seconds(perf_counter() - begun)
        return response

    async def _stand_in(
        self, standing: Standing, info: ModelInfo, request: InferRequest, name: str
    ) -> InferResponse:
        """The answer of *standing*, which is held until it is there; else that of the model."""
        trace = request.trace
        asked = trace.digest
        # A key of the cache is that of one model, and must not come back with this request. Half of
        # the time is left for the model, in case the candidate does not answer in its own.
        now = perf_counter()
        other = msgspec.structs.replace(
            request, model=name, key=None, deadline=now + (request.deadline - now) / 2
        )
        trace.digest, trace.stand_in = info.digest, name
        try:
            response = await self._timed(standing.core, other, self._candidate)
        except GatewayError as error:
            late = isinstance(error, DeadlineExceeded) and perf_counter() >= request.deadline
            if late or error.status < 500:
                raise
            trace.gather()
            trace.digest, trace.stand_in, trace.cache, trace.age = asked, "", "", None
            return await self._inner(request)
        if response.rows is not None:
            # Texts that a batch keeps for its members name the model that they asked for.
            response = InferResponse(
                response.outputs, response.version, parameters=response.parameters
            )
        if not response.version:
            response.version = info.version
        return response


def misfits(models: Mapping[str, Standing], candidates: Mapping[str, str]) -> list[str]:
    """What keeps *candidates*, by model, from answering in its place, as far as it is known."""
    faults = []
    for name, candidate in candidates.items():
        own, other = models.get(name), models.get(candidate)
        ours = None if own is None else own.info
        theirs = None if other is None else other.info
        if ours is None or theirs is None:
            continue
        if difference := differs(ours, theirs):
            faults.append(f"models.{name}.candidate: '{candidate}' is no candidate: {difference}")
    return faults
