# SPDX-License-Identifier: Apache-2.0
"""Flights: batches on their way, and who of their members gets which answer or error."""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.drive import Drive
from gateway.errors import (
    BadAnswer,
    ConnectionLost,
    Draining,
    GatewayError,
    InvalidRequest,
    NoReadyEndpoint,
    UpstreamError,
)
from gateway.stages.merge import finished, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.stages.entry import Entry
    from gateway.wire.message import InferRequest, InferResponse, Service

# A request that found no endpoint goes back to the queue; so often, and then it is an error.
_RETURNS: Final = 100


class Flight:
    """A batch on its way: the entries in it and the coroutine that carries it."""

    __slots__ = ("drive", "entries")

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.drive: Drive[InferResponse] | None = None

    def __repr__(self) -> str:
        return f"<Flight of {len(self.entries)}>"

    def cancel_if_nobody_waits(self) -> None:
        """The batch goes on for whoever waits; for nobody it does not."""
        if self.drive is not None and not any(entry.waits for entry in self.entries):
            self.drive.cancel()


class Flights:
    """Sends batches to *service* and gives each member its own answer.

    *landed* is told of every batch that was answered: its request, and how many rows it had.
    *back* takes an entry that found no endpoint into the queue again, before all others.
    """

    def __init__(
        self,
        service: Service,
        *,
        landed: Callable[[InferRequest], None],
        back: Callable[[Entry], None],
    ) -> None:
        self._service = service
        self._landed = landed
        self._back = back
        self._flights: set[Flight] = set()

    def __repr__(self) -> str:
        return f"flights={len(self._flights)}"

    def __iter__(self) -> Iterator[Flight]:
        return iter(list(self._flights))

    def start(self, entries: list[Entry], request: InferRequest) -> None:
        """Send *request*, which *entries* were merged into."""
        flight = Flight(entries)
        for entry in entries:
            entry.flight = flight
        self._flights.add(flight)
        try:
            request = finished(request)
        except GatewayError as error:
            self._land(flight, request, None, error)
            return
        flight.drive = driven = Drive(partial(self._land, flight, request))
        driven.call(self._service, request)

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
            self._landed(request)
            if request.members == 1:
                entries[0].answer(response)
                return
            try:
                parts = split(response, [entry.rows for entry in entries])
            except BadAnswer as bad:
                error = bad
            else:
                trace = request.trace
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
            # One member may be at fault; alone each gets its own verdict, once: of the batch's
            # attempts all but the last are its own too.
            for entry in entries:
                if entry.waits:
                    entry.request.attempts = request.attempts - 1
                    entry.request.kills = request.kills
                    entry.request.avoid = request.avoid
                    entry.alone = True
                    self.start([entry], entry.request)
        elif isinstance(error, GatewayError):
            for entry in entries:
                # An exception raised in many places gathers all their tracebacks: one for each.
                entry.fail(error if len(entries) == 1 else _again(error))
        elif isinstance(error, asyncio.CancelledError):
            for entry in entries:
                entry.fail(asyncio.CancelledError())
        else:
            # A fault of ours, told whole to one: raised in many places, its traceback would grow.
            first, *others = entries
            first.fail(error or GatewayError("a batch ended without an answer"))
            for entry in others:
                entry.fail(RuntimeError(f"failed with the batch of another request: {error!r}"))

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
            self._back(entry)


def _again(error: GatewayError) -> GatewayError:
    """Another one that says the same, with when to come back if it says so."""
    return type(error)(error.message, retry_after=error.retry_after)


def _may_blame_one(error: BaseException | None) -> bool:
    """Whether a batch may have failed because of one of its members.

    A batch that took too long, or never left, says nothing about its members.
    """
    return isinstance(error, ConnectionLost | InvalidRequest | BadAnswer) or (
        type(error) is UpstreamError
    )
