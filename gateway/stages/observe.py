# SPDX-License-Identifier: Apache-2.0
"""Observe: counts and times every exchange, and logs those that the access log wants."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from gateway.errors import ClientClosed
from gateway.wire.probe import is_probe

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.access_log import AccessLog
    from gateway.exchange import Answer, Codec, Exchange, ExchangeService
    from gateway.stages.gate import Gate
    from gateway.telemetry import Telemetry


class _Cells:
    """Where one kind of answer is counted: one model's, by one protocol, with one status."""

    __slots__ = ("cache_hit", "overhead", "request", "requests")

    def __init__(self, model: str, protocol: str, status: int, telemetry: Telemetry) -> None:
        self.request = telemetry.request_seconds.cell(model).observe
        self.cache_hit = telemetry.cache_hit_seconds.cell(model).observe
        self.overhead = telemetry.overhead_seconds.cell(model).observe
        self.requests = telemetry.requests.cell(model, protocol, str(status))


class Observe:
    """The outermost stage; *models* are the configured names, all others count as ``unknown``.

    Whoever is below it is inside *gate*.

    Cache hits are timed apart, so that a warm cache cannot hide a slow model. Overhead is known
    only of requests that went upstream. A client that goes away counts with status 499. Quality
    probes, which *probe_token* proves, are told apart here and counted by themselves: they are
    nobody's traffic.
    """

    def __init__(
        self,
        inner: ExchangeService,
        *,
        gate: Gate,
        telemetry: Telemetry,
        access_log: AccessLog,
        models: Collection[str],
        probe_token: str = "",
    ) -> None:
        self._inner = inner
        self._gate = gate
        self._telemetry = telemetry
        self._log = access_log
        self._samples = access_log.samples
        # Not a copy: a reload may add to it.
        self._models = models
        self._cells: dict[tuple[str, Codec, int], _Cells] = {}
        self._probe_token = probe_token
        self._left_waiting = telemetry.client_disconnects.cell("waiting")
        self._left_upstream = telemetry.client_disconnects.cell("upstream")

    def __repr__(self) -> str:
        return f"<Observe {', '.join(sorted(self._models))}>"

    async def __call__(self, exchange: Exchange) -> Answer:
        """The answer of the stages below, counted."""
        gate = self._gate
        gate.inside += 1
        trace = exchange.trace
        trace.probe = is_probe(exchange.headers, self._probe_token)
        try:
            answer = await self._inner(exchange)
        except asyncio.CancelledError:
            self._count_departure(exchange)
            raise
        finally:
            gate.inside -= 1
            if not gate.inside:
                gate.emptied()
        seconds = perf_counter() - exchange.arrived
        status = answer.status
        if trace.probe:
            self._telemetry.probes.requests.cell(exchange.model, str(status)).value += 1
            return answer
        cells = self._cells.get((exchange.model, exchange.codec, status)) or self._learn(
            exchange, status
        )
        cells.requests.value += 1
        if exchange.repeat is not None:
            # The log may want to see each of them.
            if self._samples:
                exchange.repeat = None
            else:
                exchange.repeat.requests = cells.requests
                exchange.repeat.seconds = cells.cache_hit
        if trace.age is None:
            cells.request(seconds)
            upstream = (trace.far or trace).upstream
            if upstream:
                cells.overhead(seconds - upstream)
        else:
            cells.cache_hit(seconds)
        if (status != 200 or self._samples) and self._log.wants(status):
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
        if exchange.trace.probe:
            self._telemetry.probes.requests.cell(exchange.model, str(status)).value += 1
            return
        self._learn(exchange, status).requests.value += 1
        left = self._left_upstream if exchange.trace.gather().attempts else self._left_waiting
        left.value += 1
        if self._log.wants(status):
            seconds = perf_counter() - exchange.arrived
            self._log.write(
                exchange, status=status, error=ClientClosed.code, sent=0, seconds=seconds
            )

    def _learn(self, exchange: Exchange, status: int) -> _Cells:
        """The cells for *status*; a made-up model is not remembered, and counts as unknown."""
        codec = exchange.codec
        cells = _Cells(exchange.model, codec.protocol, status, self._telemetry)
        if exchange.model in self._models:
            self._cells[exchange.model, codec, status] = cells
        return cells
