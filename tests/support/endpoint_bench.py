# SPDX-License-Identifier: Apache-2.0
"""One endpoint over a scripted peer, and a pool that only takes notes."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import GatewayError
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.gradient import Gradient
from gateway.upstream.health import Ejection, Liveness
from gateway.wire.message import InferResponse
from tests.support.upstream import Clock, ScriptedPeer, request


class Notes:
    """A watcher that keeps what it is told, and allows or forbids ejections."""

    def __init__(self) -> None:
        self.changes = 0
        self.learned = 0
        self.attempts: list[str] = []
        self.ejections: list[str] = []
        self.spare = True
        self.returns = 0
        self.outpaces = False

    def changed(self, endpoint: Endpoint) -> None:
        """Count."""
        self.changes += 1

    def learn(self) -> None:
        """Count."""
        self.learned += 1

    def may_eject(self, endpoint: Endpoint) -> bool:
        """As the test says."""
        return self.spare

    def attempted(self, endpoint: Endpoint, result: str, seconds: float) -> None:
        """Keep the result."""
        assert seconds >= 0
        self.attempts.append(result)

    def outpaced(self, endpoint: Endpoint, seconds: float) -> bool:
        """As the test says."""
        assert seconds >= 0
        return self.outpaces

    def ejected(self, endpoint: Endpoint, reason: str) -> None:
        """Keep the reason."""
        self.ejections.append(reason)

    def returned(self, endpoint: Endpoint) -> None:
        """Count."""
        self.returns += 1


class Bench:
    """One endpoint over a scripted peer."""

    def __init__(
        self,
        *,
        attempt_timeout: float = 0.0,
        cap: int | None = None,
        gradient: Gradient | None = None,
    ) -> None:
        self.clock = Clock()
        self.notes = Notes()
        self.peer = ScriptedPeer()
        self.endpoint = Endpoint(
            "e",
            self.peer.attach,
            self.notes,
            ejection=Ejection(clock=self.clock, consecutive=2, jitter=0),
            liveness=Liveness(fall=2),
            cap=cap,
            gradient=gradient,
            attempt_timeout=attempt_timeout,
        )
        self.peer.comes_up()

    def send(self, *rows: float) -> asyncio.Task[InferResponse]:
        """A request as a task."""

        async def answer() -> InferResponse:
            return await self.endpoint(request(*rows))

        return asyncio.ensure_future(answer())

    async def attempt(self, error: GatewayError | None = None) -> None:
        """One request from end to end."""
        task = self.send()
        sent = await self.peer.request()
        if error is None:
            sent.respond()
            await task
        else:
            sent.fail(error)
            with pytest.raises(type(error)):
                await task
