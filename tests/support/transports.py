# SPDX-License-Identifier: Apache-2.0
"""A transport under test: run beside a note of what it tells its endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gateway.upstream.transport import Transport, Upcall
    from gateway.wire.model import ModelInfo


class Upcalls:
    """What the transport told, in order."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self.instances: list[str] = []
        self.info: ModelInfo | None = None
        self.is_up = False

    def came_up(self, info: ModelInfo, instance: str) -> None:
        """Keep it."""
        self.info, self.is_up = info, True
        self.instances.append(instance)
        self.told.put_nowait("up")

    def went_down(self, reason: str) -> None:
        """Keep it."""
        assert reason
        self.is_up = False
        self.told.put_nowait("down")

    def drains(self) -> None:
        """Keep it."""
        self.told.put_nowait("drains")


class Reachable(Protocol):
    """A scripted peer."""

    def transport(self, upcall: Upcall, **options: Any) -> Transport:
        """The transport that reaches it."""
        ...


@asynccontextmanager
async def link(worker: Reachable, **options: Any) -> AsyncIterator[tuple[Transport, Upcalls]]:
    """A running transport to *worker*, which need not have greeted it yet."""
    upcalls = Upcalls()
    transport = worker.transport(upcalls, **options)
    running = asyncio.ensure_future(transport.run())
    try:
        yield transport, upcalls
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
