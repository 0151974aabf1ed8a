# SPDX-License-Identifier: Apache-2.0
"""Infer: the bridge from an exchange to the stack of its model, and back."""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol

from gateway.errors import ModelNotFound, NoReadyEndpoint
from gateway.exchange import NamingCodec
from gateway.wire.message import InferRequest, Trace
from gateway.wire.probe import PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from gateway.exchange import Answer, Codec, Exchange
    from gateway.wire.message import Service
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Buffer

# Bytes of JSON that take about a millisecond to decode; more of them would hold up the loop.
OFF_LOOP: Final = 256 << 10
# What a remembered request weighs besides its body and its tensors.
_OVERHEAD: Final = 600
# Spellings of a model's target (versions, queries) whose start of a digest is kept.
_TARGETS: Final = 256


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


class Memory(Protocol):
    """A bounded store of decoded requests."""

    def get(self, key: bytes) -> InferRequest | None:
        """The request under *key*."""
        ...

    def put(self, key: bytes, value: InferRequest, size: int, /) -> object:
        """Keep *value*, which takes *size* bytes."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


class Questions:
    """Decoded requests by the digest of path, framing headers and raw body.

    An exact repeat is not decoded again, and brings the cache's key with it; every stage of the
    model still sees the request.
    """

    def __init__(self, memory: Memory, *, secret: bytes) -> None:
        self._memory = memory
        self._secret = secret
        self._begun: dict[str, tuple[ModelInfo, Codec, blake2b]] = {}

    def __repr__(self) -> str:
        return f"<Questions {self._memory!r}>"

    def key(self, exchange: Exchange, info: ModelInfo, tenant: str = "") -> bytes:
        """The digest of what decides how *exchange* is decoded, and of who asks.

        The cache's key that comes with a request is of its tenant.
        """
        target = exchange.target
        known = self._begun.get(target)
        if known is None or known[0] is not info or known[1] is not exchange.codec:
            known = self._begin(exchange, info)
        digest = known[2].copy()
        length = exchange.headers.get("inference-header-content-length")
        # A length is digits, so that no two pairs of length and body read the same.
        digest.update(b"\0" if length is None else length.encode() + b"\0")
        if tenant:
            told = tenant.encode("utf-8", "surrogateescape")
            digest.update(b"%d\0%b" % (len(told), told))
        digest.update(exchange.body)
        return digest.digest()

    def _begin(self, exchange: Exchange, info: ModelInfo) -> tuple[ModelInfo, Codec, blake2b]:
        """The state of the hash behind what is the same for all bodies sent to one target."""
        told = f"{exchange.codec.spelling}\0{exchange.target}\0{info.digest}\0{info.version}\0"
        begun = (info, exchange.codec, blake2b(told.encode(), key=self._secret, digest_size=16))
        if len(self._begun) >= _TARGETS:
            self._begun.clear()
        self._begun[exchange.target] = begun
        return begun

    def forget(self) -> None:
        """Forget all: the keys that came with the requests are not theirs any more."""
        self._memory.clear()

    def recall(self, key: bytes, exchange: Exchange) -> InferRequest | None:
        """The request as it was decoded before, with the deadline and trace of *exchange*."""
        known = self._memory.get(key)
        if known is None:
            return None
        if known.id:
            exchange.inference_id = known.id
        return InferRequest(
            known.model,
            known.inputs,
            id=known.id,
            outputs=known.outputs,
            parameters=known.parameters,
            priority=known.priority,
            deadline=exchange.deadline,
            trace=exchange.trace,
            rules=exchange.rules,
            key=known.key,
            form=known.form,
        )

    def remember(self, key: bytes, exchange: Exchange, request: InferRequest) -> None:
        """Keep *request* if the cache gave it a key, and if no body parameter set its deadline.

        That of a probe is not kept: its priority is no client's.
        """
        if request.key is None or request.deadline != exchange.deadline or request.trace.probe:
            return
        # The trace belongs to one exchange, and a body must not be pinned by a slice of it.
        inputs = tuple(tensor.owned() for tensor in request.inputs)
        kept = InferRequest(
            request.model,
            inputs,
            id=request.id,
            outputs=request.outputs,
            parameters=request.parameters,
            priority=request.priority,
            trace=_NO_TRACE,
            key=request.key,
            form=request.form,
        )
        self._memory.put(key, kept, _OVERHEAD + sum(tensor.nbytes for tensor in inputs))


_NO_TRACE: Final = Trace()
_LONGEST_TENANT: Final = 128
_LONGEST_NAME: Final = 128


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
        tenant = ""
        if self._tenant_header:
            tenant = exchange.headers.get(self._tenant_header, "")[:_LONGEST_TENANT]
        request = key = None
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
            key = None
        if tenant:
            request.tenant = tenant
        request.priority = PRIORITY if request.trace.probe else request.priority
        if model.placed_by:
            request.trace.affinity = _header(exchange, model.placed_by)
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
        return codec.encode(exchange, request, response, info)

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
