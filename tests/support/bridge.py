# SPDX-License-Identifier: Apache-2.0
"""What stands on both sides of the bridge `Infer`: codecs, models and a memory that note it all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gateway.errors import InvalidRequest, Shed
from gateway.exchange import Answer, Exchange
from gateway.sampling.slices import Slices
from gateway.stages.questions import Questions
from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.tensor import Tensor
from tests.support.upstream import MODEL, echo

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.errors import GatewayError
    from gateway.stages.repeat import CachedRepeat
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Buffer

SECRET = b"0123456789abcdef"


class Notebook:
    """A codec that takes a body as one row of bytes and notes where it worked."""

    def __init__(self, protocol: str = "v2") -> None:
        self.protocol = self.spelling = protocol
        self.decoded: list[threading.Thread] = []
        self.encoded: list[threading.Thread] = []
        self.id = ""

    def decode(self, exchange: Exchange, model: ModelInfo) -> InferRequest:
        """The body as a tensor; an empty one is refused."""
        self.decoded.append(threading.current_thread())
        if not len(exchange.body):
            raise InvalidRequest("empty")
        row = Tensor("x", "UINT8", (1, len(exchange.body)), memoryview(exchange.body))
        exchange.inference_id = self.id or exchange.inference_id
        return InferRequest(
            model.name, (row,), id=self.id, deadline=exchange.deadline, trace=exchange.trace
        )

    def encode(
        self, exchange: Exchange, request: InferRequest, response: InferResponse, model: ModelInfo
    ) -> Answer:
        """The version and the first output."""
        self.encoded.append(threading.current_thread())
        body = response.version.encode() + b":" + bytes(response.outputs[0].data)
        return Answer(200, body, [])

    def refuse(self, exchange: Exchange, error: GatewayError) -> Answer:
        """Not done here."""
        raise NotImplementedError


class Model:
    """A model that echoes; *keyed* gives requests a cache key, as a cache does."""

    def __init__(self, *, info: ModelInfo | None = MODEL, keyed: bool = False) -> None:
        self.info = info
        self.questions: Questions | None = None
        self.placed_by = ""
        self.slices: Slices | None = None
        self.labelled = False
        self.repeats: Callable[[bytes], CachedRepeat | None] | None = None
        self.seen: list[InferRequest] = []
        self._keyed = keyed
        # Whether its cache had the answer.
        self.hit = True
        self.full = False
        self.answer: Callable[[InferRequest], InferResponse] = echo

    def turn_away(self, body: Buffer) -> None:
        """Refuse while *full*."""
        if self.full:
            raise Shed("full")

    async def service(self, request: InferRequest) -> InferResponse:
        """Echo."""
        self.seen.append(request)
        if self._keyed and request.key is None:
            request.key = b"made"
            request.trace.age = 0.0 if self.hit else None
        return self.answer(request)


class Store(dict[bytes, InferRequest]):
    """A memory without bounds that notes sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def put(self, key: bytes, value: InferRequest, size: int) -> None:
        """Keep it."""
        self[key] = value
        self.sizes.append(size)


def exchange(
    codec: Notebook, body: bytes = b"body", *, version: str = "", **headers: str
) -> Exchange:
    """A call to the model "m"."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Exchange(
        codec, "m", version, "/v2/models/m/infer", named, body, "req-1", inference_id="req-1"
    )
