# SPDX-License-Identifier: Apache-2.0
"""Transport: the seam between an endpoint and whatever answers behind its address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator

    from gateway.wire.message import InferRequest, InferResponse
    from gateway.wire.model import ModelInfo


class Upcall(Protocol):
    """What a transport tells its endpoint; every call comes on the event loop."""

    def came_up(self, info: ModelInfo, instance: str) -> None:
        """The peer is connected and serves *info*; *instance* names its life."""
        ...

    def went_down(self, reason: str) -> None:
        """Nothing more can be sent to the peer.

        Told before anybody hears that what the peer had has failed: who tries again at once must
        find another. A peer that goes in order may still answer what it has.
        """
        ...

    def drains(self) -> None:
        """The peer finishes what it has and takes no more."""
        ...


class Reply(Protocol):
    """What `Transport.send` gives: a future of asyncio, or a `Promise`, which wakes at once."""

    def __await__(self) -> Generator[Any, None, InferResponse]:
        """Wait for the response."""
        ...

    def done(self) -> bool:
        """Answered, failed or cancelled."""
        ...

    def cancel(self) -> bool:
        """Nobody wants the answer any more; False if it is there already."""
        ...


class Transport(Protocol):
    """One peer, reached over one or more connections; many requests may be in flight."""

    @property
    def address(self) -> str:
        """Where the peer is, for people."""
        ...

    def send(self, request: InferRequest) -> Reply:
        """Put *request* on its way and return at once.

        It fails with ConnectFailed where nothing was sent, ConnectionLost where the peer
        went away with it, BadAnswer for an answer that does not fit, or the peer's own error.
        Cancelling it tells the peer that nobody waits.
        """
        ...

    async def probe(self) -> float:
        """One inference that the peer makes up itself; returns its round trip in seconds."""
        ...

    def drop(self, reason: str) -> None:
        """Give the connection up: what is in flight fails with ConnectionLost."""
        ...

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        ...
