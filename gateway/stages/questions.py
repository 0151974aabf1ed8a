# SPDX-License-Identifier: Apache-2.0
"""Questions: requests as they were decoded, by the raw bytes that they came as."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol

from gateway.wire.message import InferRequest, Trace

if TYPE_CHECKING:
    from gateway.exchange import Codec, Exchange
    from gateway.wire.model import ModelInfo

# What a remembered request weighs besides its body and its tensors.
_OVERHEAD: Final = 600
# What the label of a row weighs.
_LABEL: Final = 100
# Spellings of a model's target (versions, queries) whose start of a digest is kept.
_TARGETS: Final = 256
_NO_TRACE: Final = Trace()


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
        # Another one after each purge.
        self.epoch = 0

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
        self.epoch += 1

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
            labels=known.labels,
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
            # Part of the body: the same body has the same.
            labels=request.labels,
        )
        size = _OVERHEAD + sum(tensor.nbytes for tensor in inputs)
        self._memory.put(key, kept, size + _LABEL * len(request.labels or ()))
