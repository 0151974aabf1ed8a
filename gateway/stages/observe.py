# SPDX-License-Identifier: Apache-2.0
"""Observe: counts and times every exchange, and logs those that the access log wants."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from gateway.errors import ClientClosed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.access_log import AccessLog
    from gateway.exchange import Answer, Exchange, ExchangeService
    from gateway.telemetry import SumCell, Telemetry


class _Cells:
    """The cells of one model; *requests* are found by protocol and status."""

    __slots__ = ("cache_hit", "overhead", "request", "requests")

    def __init__(self, model: str, telemetry: Telemetry) -> None:
        self.request = telemetry.request_seconds.cell(model).observe
        self.cache_hit = telemetry.cache_hit_seconds.cell(model).observe
        self.overhead = telemetry.overhead_seconds.cell(model).observe
        self.requests: dict[tuple[str, int], SumCell] = {}


class Observe:
    """The outermost stage; *models* are the configured names, all others count as ``unknown``.

    Cache hits are timed apart, so that a warm cache cannot hide a slow model. Overhead is known
    only of requests that went upstream. A client that goes away counts with status 499.
    """

    def __init__(
        self,
        inner: ExchangeService,
        *,
        telemetry: Telemetry,
        access_log: AccessLog,
        models: Iterable[str],
    ) -> None:
        self._inner = inner
        self._telemetry = telemetry
        self._log = access_log
        self._cells = {model: _Cells(model, telemetry) for model in models}
        self._unknown: _Cells | None = None
        self._left_waiting = telemetry.client_disconnects.cell("waiting")
        self._left_upstream = telemetry.client_disconnects.cell("upstream")

    def __repr__(self) -> str:
        return f"<Observe {', '.join(self._cells)}>"

    async def __call__(self, exchange: Exchange) -> Answer:
        """The answer of the stages below, counted."""
        try:
            answer = await self._inner(exchange)
        except asyncio.CancelledError:
            self._count_departure(exchange)
            raise
        seconds = perf_counter() - exchange.arrived
        status = answer.status
        cells = self._cells.get(exchange.model) or self._cells_of_unknown()
        counter = cells.requests.get((exchange.codec.protocol, status))
        if counter is None:
            counter = self._counter(cells, exchange, status)
        counter.value += 1
        trace = exchange.trace
        if trace.cache.startswith("hit"):
            cells.cache_hit(seconds)
        else:
            cells.request(seconds)
            if trace.upstream:
                cells.overhead(seconds - trace.upstream)
        if self._log.wants(status):
            self._log.write(
                exchange,
                status=status,
                error=answer.error,
                sent=len(answer.body),
                seconds=seconds,
            )
        return answer

    def _count_departure(self, exchange: Exchange) -> None:
        """The client went away; *phase* says whether an attempt was on its way by then."""
        status = ClientClosed.status
        cells = self._cells.get(exchange.model) or self._cells_of_unknown()
        self._counter(cells, exchange, status).value += 1
        left = self._left_upstream if exchange.trace.attempts else self._left_waiting
        left.value += 1
        if self._log.wants(status):
            seconds = perf_counter() - exchange.arrived
            self._log.write(
                exchange, status=status, error=ClientClosed.code, sent=0, seconds=seconds
            )

    def _cells_of_unknown(self) -> _Cells:
        if self._unknown is None:
            self._unknown = _Cells("unknown", self._telemetry)
        return self._unknown

    def _counter(self, cells: _Cells, exchange: Exchange, status: int) -> SumCell:
        protocol = exchange.codec.protocol
        counter = self._telemetry.requests.cell(exchange.model, protocol, str(status))
        cells.requests[protocol, status] = counter
        return counter
