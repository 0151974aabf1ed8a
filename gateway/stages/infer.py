# SPDX-License-Identifier: Apache-2.0
"""Infer: the bridge from an exchange to the stack of its model, and back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.errors import InvalidRequest, ModelNotFound, NoReadyEndpoint
from gateway.exchange import NamingCodec
from gateway.wire.inline_labels import INPUT, PARAMETER
from gateway.wire.probe import PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from gateway.exchange import Answer, Exchange
    from gateway.stages.questions import Questions
    from gateway.stages.repeat import CachedRepeat
    from gateway.wire.message import InferRequest, Service
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Buffer

# Bytes of JSON that take about a millisecond to decode; more of them would hold up the loop.
OFF_LOOP: Final = 256 << 10
LONGEST_TENANT: Final = 128
_LONGEST_NAME: Final = 128


class Served(Protocol):
    """A model as the bridge sees it."""

    @property
    def info(self) -> ModelInfo | None:
        """What clients see of it; None until a worker has said what it serves."""
        ...

    @property
    def service(self) -> Service:
        """The model's stack."""
        ...

    @property
    def turn_away(self) -> Callable[[Buffer], None]:
        """Raises Shed for a body that need not be decoded, since the queue is full."""
        ...

    @property
    def placed_by(self) -> str:
        """The header that its requests are placed by, in lower case; "" without one."""
        ...

    @property
    def questions(self) -> Questions | None:
        """The raw-body shortcut, where the model is cached and that pays."""
        ...

    @property
    def repeats(self) -> Callable[[bytes], CachedRepeat | None] | None:
        """What may be given again past the stages, by the cache's key; None where nothing may."""
        ...

    @property
    def slices(self) -> Slicing | None:
        """What its Sample stage tells requests apart by; None without that stage."""
        ...

    @property
    def labelled(self) -> bool:
        """Whether labels may come with requests."""
        ...


class Slicing(Protocol):
    """The tags by which the figures of a model are told apart."""

    @property
    def tags(self) -> Sequence[object]:
        """What there is; nothing to ask for where that is empty."""
        ...

    def place(self, headers: Mapping[str, str], parameters: Mapping[str, Any] | None) -> int:
        """The place of the values of one request."""
        ...


class Infer:
    """Decodes an exchange for its model, has the model's stack answer it, encodes the answer.

    *tenant_header* is the header that says who asks; "" leaves all in one.
    """

    def __init__(
        self,
        models: Mapping[str, Served],
        *,
        executor: Executor | None = None,
        tenant_header: str = "",
    ) -> None:
        self._models = models
        self._tenant_header = tenant_header.lower()
        self._executor = executor

    def __repr__(self) -> str:
        return f"<Infer {', '.join(self._models)}>"

    async def __call__(self, exchange: Exchange) -> Answer:
        """Answer *exchange*; raises ModelNotFound, InvalidRequest, or what the stack raises."""
        try:
            model, info = self._served(exchange)
        except ModelNotFound as error:
            model, info = await self._named(exchange, error)
        codec = exchange.codec
        exchange.trace.digest = info.digest
        questions = model.questions
        header = self._tenant_header
        tenant = exchange.headers.get(header, "")[:LONGEST_TENANT] if header else ""
        request = key = None
        recalled = False
        large = len(exchange.body) > OFF_LOOP
        # Large tensors that are only sliced are decoded sooner than their digest is made, and the
        # cache makes one of them anyway.
        sliced = large and _is_sliced(exchange)
        if questions is not None and not sliced and not exchange.rules.no_store:
            key = questions.key(exchange, info, tenant)
            request = questions.recall(key, exchange)
        if request is None:
            if questions is None:
                # Of a cached model a full queue may still answer: what is there needs no place.
                model.turn_away(exchange.body)
            if large and not sliced:
                loop = asyncio.get_running_loop()
                request = await loop.run_in_executor(self._executor, codec.decode, exchange, info)
                # What the cache takes the question for may have become another one meanwhile.
                exchange.trace.digest = (model.info or info).digest
            else:
                request = codec.decode(exchange, info)
        else:
            key, recalled = None, True
        if tenant:
            request.tenant = tenant
        request.priority = PRIORITY if request.trace.probe else request.priority
        if model.slices is not None or model.placed_by or request.labels is not None:
            _introduce(request, exchange, model)
        response = await model.service(request)
        if key is not None and questions is not None and exchange.trace.age is not None:
            # Asked again: what is asked once is not worth remembering.
            questions.remember(key, exchange, request)
        if not response.version:
            response.version = info.version
        rows = response.rows
        if (response.largest if rows is None else rows.row_bytes) > OFF_LOOP:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._executor, codec.encode, exchange, request, response, info
            )
        answer = codec.encode(exchange, request, response, info)
        if recalled and exchange.repeatable and exchange.trace.age is not None:
            self._offer(exchange, request, answer, model, info)
        return answer

    def _offer(
        self,
        exchange: Exchange,
        request: InferRequest,
        answer: Answer,
        model: Served,
        info: ModelInfo,
    ) -> None:
        """Let the edge give *answer* again, where that is all that the stages would do."""
        questions, repeats, key = model.questions, model.repeats, request.key
        if questions is None or repeats is None or key is None or exchange.trace.probe:
            return
        repeat = repeats(key)
        if repeat is not None:
            repeat.holds_for(self._models, exchange.model, info, questions, answer.body)
            exchange.repeat = repeat

    def _served(self, exchange: Exchange) -> tuple[Served, ModelInfo]:
        """The model that *exchange* asks for; raises ModelNotFound, NoReadyEndpoint."""
        model = self._models.get(exchange.model)
        if model is None:
            raise self._unknown(exchange.model)
        info = model.info
        if info is None:
            raise NoReadyEndpoint(f"model '{exchange.model}' is not loaded by any worker yet")
        if exchange.version and exchange.version != info.version:
            raise ModelNotFound(
                f"model '{info.name}' has no version {exchange.version}; it has {info.version}"
            )
        return model, info

    async def _named(self, exchange: Exchange, error: ModelNotFound) -> tuple[Served, ModelInfo]:
        """The model that the body of *exchange* asks for, where the target names none.

        Raises *error* where it does name one, as `_served`, and InvalidRequest.
        """
        codec = exchange.codec
        if exchange.model or not isinstance(codec, NamingCodec):
            raise error
        if len(exchange.body) > OFF_LOOP:
            loop = asyncio.get_running_loop()
            name = await loop.run_in_executor(self._executor, codec.named, exchange)
        else:
            name = codec.named(exchange)
        if name not in self._models:
            raise self._unknown(name[:_LONGEST_NAME])
        # Whoever measures the exchange sees which model it was for.
        exchange.model = name
        return self._served(exchange)

    def _unknown(self, name: str) -> ModelNotFound:
        known = ", ".join(sorted(self._models))
        return ModelNotFound(f"unknown model '{name}'; this server has: {known}")


def _introduce(request: InferRequest, exchange: Exchange, model: Served) -> None:
    """Tell the stages of *model* what they need to know of *exchange*; raises InvalidRequest."""
    if model.placed_by:
        request.trace.affinity = _header(exchange, model.placed_by)
    slices = model.slices
    if slices is not None:
        request.inference_id = exchange.inference_id
        if slices.tags:
            request.slice = slices.place(exchange.headers, request.parameters)
    if request.labels is not None and not model.labelled:
        raise InvalidRequest(
            f"model '{exchange.model}' takes no labels, as its configuration has no section "
            f"quality; leave out the parameter '{PARAMETER}' and the input '{INPUT}'"
        )


def _header(exchange: Exchange, name: str) -> bytes:
    """The value of a header, which below this stage nobody sees; empty without one."""
    return exchange.headers.get(name, "").encode("utf-8", "surrogateescape")


def _is_sliced(exchange: Exchange) -> bool:
    """Whether decoding a large body is quick: a short head, and tensors that are only sliced.

    Elements of BYTES are looked at one by one, and there may be millions of them.
    """
    told = exchange.headers.get("inference-header-content-length", "")
    if exchange.codec.protocol != "v2" or not told.isdecimal() or len(told) > 9:
        return False
    size = int(told)
    if size > OFF_LOOP:
        return False
    head = bytes(exchange.body[:size])
    # An escape may hide the word.
    return b"BYTES" not in head and b"\\" not in head
