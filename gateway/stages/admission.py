# SPDX-License-Identifier: Apache-2.0
"""Admission: yes or no before the body is decoded, so that shedding stays cheap."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.errors import Draining, Shed, TooLarge

if TYPE_CHECKING:
    from gateway.exchange import Answer, Exchange, ExchangeService
    from gateway.telemetry import Telemetry


class Gate:
    """How many exchanges are inside, and whether new ones may enter; shared by all protocols."""

    def __init__(self) -> None:
        self.inside = 0
        self.closed = False
        self._empty: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Gate {'closed' if self.closed else 'open'} inside={self.inside}>"

    def left(self) -> None:
        """One exchange is over."""
        self.inside -= 1
        if not self.inside and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    async def emptied(self) -> None:
        """Wait until nobody is inside; only useful once closed."""
        while self.inside:
            if self._empty is None or self._empty.done():
                self._empty = asyncio.get_running_loop().create_future()
            # Shielded, because others may wait for the same.
            await asyncio.shield(self._empty)


class Admission:
    """Refuses what is over *max_body* bytes, or the *max_inside*-th exchange at the same time.

    While the process drains, requests on connections that are still open are answered as usual
    until *gate* is closed for good.
    """

    def __init__(
        self,
        inner: ExchangeService,
        *,
        gate: Gate,
        telemetry: Telemetry,
        max_body: int = 64 << 20,
        max_inside: int = 65536,
    ) -> None:
        self._inner = inner
        self._gate = gate
        self._telemetry = telemetry
        self._max_body = max_body
        self._max_inside = max_inside

    def __repr__(self) -> str:
        return f"<Admission {self._gate!r} max_body={self._max_body}>"

    async def __call__(self, exchange: Exchange) -> Answer:
        """Let *exchange* in; raises TooLarge, Shed or Draining."""
        gate = self._gate
        if len(exchange.body) > self._max_body:
            raise TooLarge(
                f"the body has {len(exchange.body)} bytes; the limit is {self._max_body} "
                "(server.limits.body)"
            )
        if gate.closed:
            self._telemetry.shed.cell(exchange.model, "draining").value += 1
            raise Draining("this gateway is shutting down; send the request to another")
        if gate.inside >= self._max_inside:
            self._telemetry.shed.cell(exchange.model, "too_many").value += 1
            raise Shed(f"{gate.inside} requests are in progress, which is the limit")
        gate.inside += 1
        try:
            return await self._inner(exchange)
        finally:
            gate.left()
