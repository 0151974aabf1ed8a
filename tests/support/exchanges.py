# SPDX-License-Identifier: Apache-2.0
"""Exchanges without a protocol, and a scripted service below the stage under test."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from gateway.exchange import Answer, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.errors import GatewayError
    from gateway.wire.message import InferRequest, InferResponse
    from gateway.wire.model import ModelInfo


class PlainCodec:
    """A codec that refuses in plain text, and neither decodes nor encodes."""

    protocol = spelling = "v2"

    def decode(self, exchange: Exchange, model: ModelInfo) -> InferRequest:
        """Not part of any exchange stage."""
        raise NotImplementedError

    def encode(
        self, exchange: Exchange, request: InferRequest, response: InferResponse, model: ModelInfo
    ) -> Answer:
        """Not part of any exchange stage."""
        raise NotImplementedError

    def refuse(self, exchange: Exchange, error: GatewayError) -> Answer:
        """The message as the body."""
        return Answer(error.status, error.message.encode(), [], error=error.code)


def make_exchange(
    *,
    model: str = "digits",
    target: str = "/v2/models/digits/infer",
    headers: dict[str, str] | None = None,
    body: bytes = b"{}",
    arrived: float | None = None,
) -> Exchange:
    """An inference call to *model* with the request id ``req-1``."""
    return Exchange(
        PlainCodec(),
        model,
        "",
        target=target,
        headers=headers or {},
        body=body,
        request_id="req-1",
        arrived=perf_counter() if arrived is None else arrived,
        client="192.0.2.1",
    )


class Scripted:
    """Answers with 200, or raises *error*; *note* marks the exchange first. Keeps what it saw."""

    def __init__(
        self,
        *,
        error: BaseException | None = None,
        status: int = 200,
        note: Callable[[Exchange], None] = lambda _: None,
    ) -> None:
        self._error = error
        self._status = status
        self._note = note
        self.seen: list[Exchange] = []

    async def __call__(self, exchange: Exchange) -> Answer:
        """What the script says."""
        self.seen.append(exchange)
        self._note(exchange)
        if self._error is not None:
            raise self._error
        return Answer(self._status, b"answer", [])
