# SPDX-License-Identifier: Apache-2.0
"""Batch: the one queue; what waits together leaves together.

Work-conserving: with a free slot a request leaves in the same turn of the loop, and there is no
timer that would hold it back. While all slots are busy, compatible requests gather.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.drive import Drive
from gateway.errors import (
    BadAnswer,
    ConnectionLost,
    DeadlineExceeded,
    Draining,
    GatewayError,
    InvalidRequest,
    NoReadyEndpoint,
    Shed,
    UpstreamError,
)
from gateway.stages.cost import Cost
from gateway.stages.lines import Entry, Lines, enqueued
from gateway.stages.merge import compatibility, finished, merge, split
from gateway.wire.message import NEVER, InferRequest, InferResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.telemetry import Telemetry
    from gateway.upstream.pool import Pool
    from gateway.wire.message import Service

# Below this many seconds for a full batch, cutting batches to fit a deadline is not worth its cost.
_QUICK: Final = 0.001
# A request that found no endpoint goes back to the queue; so often, and then it is an error.
_RETURNS: Final = 100


class Flight:
    """A batch on its way: the entries in it and the coroutine that carries it."""

    __slots__ = ("drive", "entries")

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.drive: Drive[InferResponse] | None = None


class Batch:
    """Queues, merges, dispatches and splits; bounded by *queue_rows* and *queue_bytes*.

    *max_rows* bounds a batch. Refuses with Shed when the queue is full, and fails with
    DeadlineExceeded whoever has waited too long, in the queue or on the way.
    """

    def __init__(
        self,
        inner: Service,
        *,
        model: str,
        pool: Pool,
        telemetry: Telemetry,
        max_rows: int = 64,
        queue_rows: int = 4096,
        queue_bytes: int = 256 << 20,
    ) -> None:
        self._inner = inner
        self._model = model
        self._pool = pool
        self._max_rows = max_rows
        self._merges = max_rows > 1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gone = self._abandon
        self._queue_rows = queue_rows
        self._queue_bytes = queue_bytes
        self._lines = Lines()
        self._flights: set[Flight] = set()
        self._pump_due = False
        self._wake_at = NEVER
        self._waker: asyncio.TimerHandle | None = None
        self.cost = Cost()
        self._dispatched = telemetry.queue_seconds.cell(model, "dispatched")
        self._expired = telemetry.queue_seconds.cell(model, "expired")
        self._client_gone = telemetry.queue_seconds.cell(model, "client_gone")
        self._shed_full = telemetry.shed.cell(model, "queue_full")
        self._batch_rows = telemetry.batch_rows.cell(model)
        queued = telemetry.queued_rows.cell(model)

        def collect() -> None:
            queued.value = self._lines.rows

        telemetry.on_collect(collect)
        pool.on_change(self._schedule)

    def __repr__(self) -> str:
        return f"<Batch {self._lines!r} flights={len(self._flights)} {self.cost!r}>"

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a slot."""
        return self._lines.rows

    def __call__(self, request: InferRequest) -> Awaitable[InferResponse]:
        """Queue *request*, to be answered alone or with others; raises Shed, DeadlineExceeded."""
        loop = self._loop or self._enter_loop()
        now = perf_counter()
        deadline = request.deadline
        if deadline <= now:
            raise DeadlineExceeded("the deadline had passed before the request was queued")
        entry = enqueued(request, loop, now, self._gone)
        lines = self._lines
        if lines.rows and (
            lines.rows + (entry.rows or 1) > self._queue_rows
            or lines.bytes + entry.nbytes > self._queue_bytes
        ):
            self._shed_full.value += 1
            raise Shed(
                f"the queue of model '{self._model}' is full ({lines.rows} rows, "
                f"{lines.bytes} bytes); its limits are {self._queue_rows} rows and "
                f"{self._queue_bytes} bytes",
                retry_after=max(1.0, self.cost.seconds(lines.rows)),
            )
        lines.append(entry, compatibility(request) if self._merges and self._pool.batched else None)
        if deadline < self._wake_at:
            self._wake(loop, deadline)
        if not self._pump_due:
            self._pump_due = True
            loop.call_soon(self._pump)
        return entry

    def _enter_loop(self) -> asyncio.AbstractEventLoop:
        # Asked for once: in Python 3.11 each call costs a getpid().
        self._loop = loop = asyncio.get_running_loop()
        return loop

    def _schedule(self) -> None:
        if not self._pump_due and self._lines:
            self._pump_due = True
            (self._loop or self._enter_loop()).call_soon(self._pump)

    def _pump(self) -> None:
        """Dispatch while there are entries and free slots."""
        self._pump_due = False
        lines = self._lines
        cost = self.cost
        worth = cost.rows_worth(self._max_rows)
        fits = None if cost.seconds(worth) < _QUICK else self._fits
        while lines:
            slots, endpoints = self._pool.capacity()
            if not slots:
                return
            # Rows are not piled on one worker while another could take its part of them.
            share = -(-lines.rows // endpoints)
            self._dispatch(lines.take(min(worth, max(share, 1)), fits))

    def _fits(self, deadline: float, rows: int) -> bool:
        """Whether a batch of *rows* that leaves now is expected back before *deadline*."""
        return perf_counter() + self.cost.seconds(rows) < deadline

    def _dispatch(self, entries: list[Entry]) -> None:
        now = perf_counter()
        observe = self._dispatched.observe
        flight = Flight(entries)
        requests = []
        for entry in entries:
            waited = now - entry.queued_at
            observe(waited)
            entry.flight = flight
            request = entry.request
            request.trace.queue += waited
            requests.append(request)
        request = requests[0] if len(requests) == 1 else merge(requests)
        self._flights.add(flight)
        self._batch_rows.observe(request.rows)
        self._launch(flight, request)

    def _launch(self, flight: Flight, request: InferRequest) -> None:
        try:
            request = finished(request)
        except GatewayError as error:
            self._land(flight, request, None, error)
            return
        flight.drive = driven = Drive(partial(self._land, flight, request))
        driven.call(self._inner, request)

    def _land(
        self,
        flight: Flight,
        request: InferRequest,
        response: InferResponse | None,
        error: BaseException | None,
    ) -> None:
        self._flights.discard(flight)
        entries = flight.entries
        # Without these two the flight would be in a circle, and so the collector's business.
        flight.entries, flight.drive = [], None
        if response is not None:
            trace = request.trace
            if trace.infer:
                self.cost.observe(trace.batch_rows or request.rows, trace.infer)
            if request.members == 1:
                entries[0].answer(response)
                return
            try:
                parts = split(response, [entry.rows for entry in entries])
            except BadAnswer as bad:
                error = bad
            else:
                for entry, part in zip(entries, parts, strict=True):
                    entry.request.trace.far = trace
                    entry.answer(part)
                return
        self._fail(entries, request, error)

    def _fail(
        self, entries: list[Entry], request: InferRequest, error: BaseException | None
    ) -> None:
        if isinstance(error, NoReadyEndpoint | Draining):
            self._requeue(entries, request, error)
        elif request.members > 1 and _may_blame_one(error):
            # One member may be at fault; alone each gets its own verdict, once.
            for entry in entries:
                if entry.waits:
                    entry.request.kills = request.kills
                    entry.request.avoid = request.avoid
                    entry.alone = True
                    self._dispatch_again(entry)
        elif isinstance(error, GatewayError):
            for entry in entries:
                # An exception raised in many places gathers all their tracebacks: one for each.
                entry.fail(error if len(entries) == 1 else type(error)(error.message))
        elif isinstance(error, asyncio.CancelledError):
            for entry in entries:
                entry.fail(asyncio.CancelledError())
        else:
            # A fault of ours, told whole to one: raised in many places, its traceback would grow.
            first, *others = entries
            first.fail(error or GatewayError("a batch ended without an answer"))
            for entry in others:
                entry.fail(RuntimeError(f"failed with the batch of another request: {error!r}"))

    def _dispatch_again(self, entry: Entry) -> None:
        flight = Flight([entry])
        entry.flight = flight
        self._flights.add(flight)
        request = entry.request
        self._launch(flight, request)

    def _requeue(self, entries: list[Entry], request: InferRequest, error: GatewayError) -> None:
        """No endpoint now: wait at the head of the queue until one comes or time is over."""
        if request.members == 1:
            # What was sent may be a finished copy of what was queued.
            entries[0].request.kills = request.kills
        for entry in reversed(entries):
            if not entry.waits:
                continue
            entry.returns += 1
            if entry.returns > _RETURNS:
                entry.fail(NoReadyEndpoint(f"{error} after {entry.returns} tries"))
                continue
            entry.flight = None
            entry.queued_at = perf_counter()
            entry.request.avoid = ()
            merges = not entry.alone and self._merges and self._pool.batched
            self._lines.push_front(entry, compatibility(entry.request) if merges else None)
        # Not in this turn: what made the endpoint unavailable must be seen first.
        asyncio.get_running_loop().call_later(0.001, self._schedule)

    def _abandon(self, entry: Entry) -> None:
        """The client of *entry* is gone; nobody else's answer depends on that."""
        if entry.flight is None:
            self._lines.remove(entry)
            self._client_gone.observe(perf_counter() - entry.queued_at)
            return
        flight = entry.flight
        if not any(other.waits for other in flight.entries) and flight.drive is not None:
            flight.drive.cancel()

    def _wake(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        if self._waker is not None:
            self._waker.cancel()
        self._wake_at = at
        # A timer counts whole milliseconds; one too many costs nothing, one too few another turn.
        self._waker = loop.call_later(max(0.0, at - perf_counter()) + 0.001, self._expire)

    def _expire(self) -> None:
        """Fail all whose deadline has passed, queued or on the way; sleep until the next."""
        now = perf_counter()
        self._waker, self._wake_at = None, NEVER
        earliest = NEVER
        for entry in list(self._lines):
            if entry.request.deadline <= now:
                self._lines.remove(entry)
                self._expired.observe(now - entry.queued_at)
                waited = now - entry.queued_at
                entry.fail(DeadlineExceeded(f"the deadline passed after {waited:.3f} s in queue"))
            else:
                earliest = min(earliest, entry.request.deadline)
        for flight in list(self._flights):
            for entry in flight.entries:
                if not entry.waits:
                    continue
                if entry.request.deadline <= now:
                    entry.fail(DeadlineExceeded("the deadline passed while a worker had it"))
                else:
                    earliest = min(earliest, entry.request.deadline)
            if not any(entry.waits for entry in flight.entries) and flight.drive is not None:
                flight.drive.cancel()
        # Whoever was told may have asked again already, with a deadline of its own.
        if earliest < self._wake_at:
            self._wake(asyncio.get_running_loop(), earliest)


def _may_blame_one(error: BaseException | None) -> bool:
    """Whether a batch may have failed because of one of its members.

    A batch that took too long, or never left, says nothing about its members.
    """
    return isinstance(error, ConnectionLost | InvalidRequest | BadAnswer) or (
        type(error) is UpstreamError
    )
