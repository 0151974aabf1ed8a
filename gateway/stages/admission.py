# SPDX-License-Identifier: Apache-2.0
"""Admission: yes or no before the body is decoded, so that shedding stays cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import Draining, Shed, TooLarge

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.exchange import Answer, Exchange, ExchangeService
    from gateway.stages.gate import Gate
    from gateway.telemetry import Telemetry


class Admission:
    """Refuses what is over *max_body* bytes, and whatever is more than *max_inside* at a time.

    *gate* counts an exchange from its arrival on, so the one that is judged is inside already.
    While the process drains, requests on connections that are still open are answered as usual
    until *gate* is closed for good. While the process is overloaded it lets nobody in.
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

    def __call__(self, exchange: Exchange) -> Awaitable[Answer]:
        """Let *exchange* in; raises TooLarge, Shed or Draining."""
        gate = self._gate
        if len(exchange.body) > self._max_body:
            raise TooLarge(
                f"the body has {len(exchange.body)} bytes; the limit is {self._max_body} "
                "(server.limits.body)"
            )
        overload = gate.overload
        if overload is not None:
            raise overload.refusal(exchange.model)
        if gate.closed:
            self._telemetry.shed.cell(exchange.model, "draining").value += 1
            raise Draining("this gateway is shutting down; send the request to another")
        if gate.inside > self._max_inside:
            self._telemetry.shed.cell(exchange.model, "too_many").value += 1
            raise Shed(f"{gate.inside - 1} requests are in progress, which is the limit")
        return self._inner(exchange)
