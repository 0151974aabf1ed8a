# SPDX-License-Identifier: Apache-2.0
"""Lane: what the fast connections of one listener share, their limits above all."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.edge.fastlane import FastLane
from gateway.edge.head import Heads
from gateway.edge.repeats import Repeats
from gateway.errors import RequestTimeout
from gateway.stages.gate import Gate
from gateway.wire.message import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.exchange import Answer, Exchange, ExchangeService

# Seconds between two looks at all connections, or less where a timeout is short.
_SWEEP: Final = 1.0


class Lane:
    """What the connections of one listener share; call it for the protocol of a new one.

    *header_timeout* and *body_timeout* (seconds) bound the time to receive either, *answer_timeout*
    the time in which a client takes an answer, *idle_timeout* the time between requests; all are
    checked once a second. *max_connections* bounds the lane's connections together with those that
    it handed over, of which *others* gives the number. *gate* says when to part with clients.
    *refused* hears of requests that were answered without reaching *service*, *slow* of each
    client that took too long, with what it was slow at (``head``, ``body``, ``answer``),
    *turned_away* of each connection too many, *busy_poll* of every request and every answer.
    """

    def __init__(
        self,
        service: ExchangeService,
        *,
        fallback: Callable[[], asyncio.Protocol],
        max_body: int = 64 << 20,
        header_timeout: float = 10.0,
        body_timeout: float = 30.0,
        answer_timeout: float = 30.0,
        idle_timeout: float = 60.0,
        max_connections: int = 65536,
        others: Callable[[], int] = lambda: 0,
        gate: Gate | None = None,
        refused: Callable[[Exchange, Answer], None] | None = None,
        slow: Callable[[str], None] = lambda _: None,
        turned_away: Callable[[], None] = lambda: None,
        busy_poll: Callable[[], None] | None = None,
    ) -> None:
        self.service = service
        self.others = others
        self.gate = gate or Gate()
        self.refused = refused
        self.turned_away = turned_away
        self.busy_poll = busy_poll
        self.fallback = fallback
        self.heads = Heads(max_body=max_body)
        self.repeats = Repeats()
        self.connections: set[FastLane] = set()
        self._slow = slow
        self._emptied: asyncio.Future[None] | None = None
        self.max_connections = max_connections
        self._header_timeout = header_timeout
        self._body_timeout = body_timeout
        self._answer_timeout = answer_timeout
        self._idle_timeout = idle_timeout
        shortest = min(header_timeout, body_timeout, answer_timeout, idle_timeout)
        self._interval = min(_SWEEP, shortest / 2)

    def __repr__(self) -> str:
        busy = sum(connection.busy for connection in self.connections)
        return f"<Lane {len(self.connections)} connections, {busy} busy>"

    def __call__(self) -> FastLane:
        """The protocol of a new connection."""
        return FastLane(self)

    async def sweep(self) -> None:
        """Close connections that keep us waiting, until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            now = perf_counter()
            for connection in list(self.connections):
                self._judge(connection, now)

    def _judge(self, connection: FastLane, now: float) -> None:
        """Close *connection* if it has kept us waiting for too long."""
        if connection.unread_since != NEVER:
            if now - connection.unread_since > self._answer_timeout:
                self._slow("answer")
                connection.abort()
            return
        if connection.busy:
            return
        if connection.since == NEVER:
            # It fell idle since the last time; that an answer need not look at the clock is worth
            # the second.
            connection.since = now
            return
        awaits = connection.awaits
        patience = {
            "idle": self._idle_timeout,
            "head": self._header_timeout,
            "body": self._body_timeout,
        }[awaits]
        if now - connection.since <= patience:
            return
        if awaits != "idle":
            self._slow(awaits)
        if awaits == "body":
            connection.refuse(RequestTimeout(f"the body did not arrive within {patience:g} s"))
        connection.give_up()

    def left(self, connection: FastLane) -> None:
        """*connection* is not this lane's any more."""
        self.connections.discard(connection)
        if not self.connections and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def closed(self) -> None:
        """Wait until the last connection is gone; only useful behind `drain`."""
        while self.connections:
            if self._emptied is None or self._emptied.done():
                self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)

    def drain(self) -> None:
        """Close idle connections now, and every other one behind its answer."""
        self.gate.drain()
        for connection in list(self.connections):
            if connection.quiet:
                connection.give_up()
