# SPDX-License-Identifier: Apache-2.0
"""Augment: each row is asked about in several views, and the answers become one."""

from __future__ import annotations

from copy import copy
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from gateway.errors import BadAnswer
from gateway.stages.merge import finished
from gateway.stages.offload import Bound, Inline, Offload
from gateway.stages.pace import Pace
from gateway.stages.postprocess import chosen, for_all_outputs
from gateway.steps.augment import Ensemble
from gateway.steps.views import Identity
from gateway.wire.message import InferResponse
from gateway.wire.rows import cut, join
from gateway.wire.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.stages.augment_options import AugmentConfig
    from gateway.steps import Kernel
    from gateway.steps.augment import BoundEnsemble
    from gateway.telemetry import Telemetry
    from gateway.wire.message import InferRequest, Service
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Array


class Augment:
    """Asks for all views of *ensemble* of each row in one batch, and merges what comes back.

    With *below* a first pass asks for the rows as they are, and only those whose highest
    probability is less than that are asked about again. More than *max_bytes* of views are asked
    for in parts. Requests of a sequence pass as they are: a stateful model would count each view.
    *info* gives the model as workers describe it now.
    """

    def __init__(
        self,
        inner: Service,
        *,
        model: str,
        ensemble: Ensemble,
        info: Callable[[], ModelInfo | None],
        telemetry: Telemetry,
        below: float | None = None,
        max_bytes: int = 32 << 20,
        offload: Offload | None = None,
    ) -> None:
        self._inner = inner
        self._ensemble = ensemble
        self._below = below
        self._max_bytes = max_bytes
        self._offload = offload if offload is not None else Offload(threads=1)
        self._inline = Inline().run
        self._expanding, self._merging = Pace(), Pace()
        self._bound = Bound(ensemble.bind, info)
        self._all = tuple(range(len(ensemble.views)))
        plain = [at for at in self._all if isinstance(ensemble.views[at], Identity)]
        # The first pass is the answer to one identity; what is left for the second.
        self._rest = tuple(at for at in self._all if at not in plain[:1])
        self._plain_counts = bool(plain)
        self._came = telemetry.augment_rows.cell(model, "asked")
        self._unsure = telemetry.augment_rows.cell(model, "augmented")
        self._extra = telemetry.augment_rows.cell(model, "extra")

    def __repr__(self) -> str:
        below = "" if self._below is None else f" below {self._below}"
        return f"<Augment {self._ensemble!r}{below} {self._bound!r}>"

    async def __call__(self, request: InferRequest) -> InferResponse:
        """Answer *request*; raises InvalidRequest, BadAnswer, Shed."""
        bound = self._bound.kernel()
        parameters = request.parameters
        if parameters and "sequence_id" in parameters:
            return await self._inner(request)
        wanted = request.outputs
        request = finished(for_all_outputs(request) if wanted else request)
        self._came.value += request.rows
        if self._below is None:
            response = await self._in_parts(bound, request, range(request.rows), self._all, None)
        else:
            response = await self._where_unsure(bound, request, self._below)
        if wanted:
            outputs = chosen(response.outputs, wanted)
            response = InferResponse(outputs, response.version, response.parameters)
        return response

    async def _where_unsure(
        self, bound: BoundEnsemble, request: InferRequest, below: float
    ) -> InferResponse:
        first = await self._inner(request)
        unsure = bound.unsure(first.outputs, below)
        if not len(unsure):
            return first
        trace = request.trace.gather()
        upstream, infer = trace.upstream, trace.infer
        answers = _rows(first.outputs, unsure) if self._plain_counts else None
        again = copy(request)
        again.inputs = _rows(request.inputs, unsure)
        second = await self._in_parts(bound, again, unsure.tolist(), self._rest, answers)
        # Both passes are time upstream.
        trace.gather()
        trace.upstream += upstream
        trace.infer += infer
        outputs = _replaced(first.outputs, second.outputs, unsure)
        return InferResponse(outputs, version=first.version, parameters=first.parameters)

    async def _in_parts(
        self,
        bound: BoundEnsemble,
        request: InferRequest,
        rows: Sequence[int],
        views: tuple[int, ...],
        plain: tuple[Tensor, ...] | None,
    ) -> InferResponse:
        """The merged answer for *request*, whose rows have the numbers *rows*.

        *plain* are the answers to its rows as they are, where those are known and count.
        """
        count = request.rows
        self._unsure.value += count
        size = sum([tensor.nbytes for tensor in request.inputs]) * max(len(views), 1)
        if size <= self._max_bytes or count <= 1:
            return await self._ask(bound, request, rows, views, plain)
        most = max(1, self._max_bytes * count // size)
        parts, counts = [], []
        response = None
        for start in range(0, count, most):
            stop = min(start + most, count)
            part = copy(request)
            part.inputs = tuple([cut(tensor, start, stop) for tensor in request.inputs])
            known = plain and tuple([cut(tensor, start, stop) for tensor in plain])
            response = await self._ask(bound, part, rows[start:stop], views, known)
            parts.append(response.outputs)
            counts.append(stop - start)
        if response is None:
            raise BadAnswer("a request of no rows has no parts")
        return InferResponse(
            join(parts, counts), version=response.version, parameters=response.parameters
        )

    async def _ask(
        self,
        bound: BoundEnsemble,
        request: InferRequest,
        rows: Sequence[int],
        views: tuple[int, ...],
        plain: tuple[Tensor, ...] | None,
    ) -> InferResponse:
        """One batch of all *views*, merged with *plain*."""
        count = request.rows
        parameters, version = None, ""
        answers = plain or ()
        if views:
            started = perf_counter()
            kernel = bound.expand(views, request=request.id, rows=rows)
            sent = copy(request)
            sent.inputs = await self._run(kernel, request.inputs, self._expanding)
            request.trace.preprocess += perf_counter() - started
            self._extra.value += count * (len(views) - (plain is None))
            response = await self._inner(sent)
            parameters, version = response.parameters, response.version
            total = count * len(views)
            answers = response.outputs
            if plain is not None:
                answers = join((plain, answers), (count, total))
        seen = len(views) + (plain is not None)
        merged = await self._run(
            lambda tensors: bound.merged(tensors, seen), answers, self._merging
        )
        return InferResponse(merged, version=version, parameters=parameters)

    async def _run(
        self, kernel: Kernel, tensors: tuple[Tensor, ...], pace: Pace
    ) -> tuple[Tensor, ...]:
        """*kernel* where its cost allows it to run; raises Shed."""
        size = sum([tensor.nbytes for tensor in tensors])
        if size > pace.within:
            made, seconds = await self._offload.timed(kernel, tensors)
        else:
            started = perf_counter()
            made = self._inline(kernel, tensors)
            seconds = perf_counter() - started
        pace.observe(size, seconds)
        return made


def ensemble_of(section: AugmentConfig | None) -> Ensemble | None:
    """The views that a model is asked in by its *section*, None where it has none."""
    if section is None:
        return None
    return Ensemble(
        views=section.views,
        merge=section.merge,
        given=section.given,
        input=section.input,
        output=section.output,
        layout=section.layout,
        shape=section.shape,
        fill=section.fill,
    )


def _rows(tensors: tuple[Tensor, ...], rows: Array) -> tuple[Tensor, ...]:
    """The *rows* of each of *tensors*."""
    return tuple([Tensor.of(t.name, t.array()[rows], datatype=t.datatype) for t in tensors])


def _replaced(
    tensors: tuple[Tensor, ...], others: tuple[Tensor, ...], rows: Array
) -> tuple[Tensor, ...]:
    """*tensors* with *others* in the place of *rows*; BadAnswer where forms differ."""
    by_name = {tensor.name: tensor for tensor in others}
    replaced = []
    for tensor in tensors:
        other = by_name.get(tensor.name)
        whole = np.array(tensor.array())
        if other is None or other.shape != (len(rows), *tensor.shape[1:]):
            raise BadAnswer(f"output '{tensor.name}' of the views has another shape than before")
        whole[rows] = other.array()
        replaced.append(Tensor.of(tensor.name, whole, datatype=tensor.datatype))
    return tuple(replaced)
