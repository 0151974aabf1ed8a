# SPDX-License-Identifier: Apache-2.0
"""Flights: batches on their way, and who of their members gets which answer or error."""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeGuard

from gateway.drive import Drive
from gateway.errors import (
    BadAnswer,
    ConnectionLost,
    Draining,
    GatewayError,
    InvalidRequest,
    NoReadyEndpoint,
    PoisonInput,
    UpstreamError,
)
from gateway.stages.merge import finished, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.stages.entry import Entry
    from gateway.stages.retry_budget import Spending
    from gateway.wire.message import InferRequest, InferResponse, Service

# A request that found no endpoint goes back to the queue; so often, and then it is an error.
_RETURNS: Final = 100


class Flight:
    """A batch on its way: the entries in it and the coroutine that carries it.

    One that is put aside is carried by nothing: *aside* is its request then, *since* the instant.
    """

    __slots__ = ("aside", "drive", "entries", "since")

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.drive: Drive[InferResponse] | None = None
        self.aside: InferRequest | None = None
        self.since = 0.0

    def __repr__(self) -> str:
        return f"<Flight of {len(self.entries)}>"

    @property
    def waits(self) -> bool:
        """Whether anybody waits for it."""
        return any(entry.waits for entry in self.entries)

    def cancel_if_nobody_waits(self) -> None:
        """The batch goes on for whoever waits; for nobody it does not."""
        if self.drive is not None and not self.waits:
            self.drive.cancel()


class Flights:
    """Sends batches to *service* and gives each member its own answer.

    *landed* is told of every batch that was answered: its request, and how many rows it had.
    *back* takes an entry that found no endpoint into the queue again, before all others.
    *spending* pays for members that are sent again. *takes* says whether there is room for what
    avoids the endpoints of such names. What an endpoint has failed, and no other has room for, is
    put *aside* as it is until one has: in the queue the room at the first one would call it back.
    *poisonous* is told of a request that takes workers down, as it was queued.
    """

    def __init__(
        self,
        service: Service,
        *,
        landed: Callable[[InferRequest], None],
        back: Callable[[Entry], None],
        spending: Spending,
        takes: Callable[[Sequence[str]], bool],
        poisonous: Callable[[InferRequest], None],
    ) -> None:
        self._service = service
        self._landed = landed
        self._back = back
        self._spending = spending
        self._takes = takes
        self._poisonous = poisonous
        self._flights: set[Flight] = set()
        self.aside: list[Flight] = []

    def __repr__(self) -> str:
        return f"flights={len(self._flights) + len(self.aside)}"

    def __iter__(self) -> Iterator[Flight]:
        return iter([*self._flights, *self.aside])

    @property
    def rows_aside(self) -> int:
        """Rows of what is put aside."""
        return sum([each.aside.rows for each in self.aside if each.aside is not None])

    def resume(self) -> None:
        """Send what was put aside and has room now."""
        aside, self.aside = self.aside, []
        for flight in aside:
            request = flight.aside
            if request is None or not flight.waits:
                continue
            if self._takes(request.avoid):
                request.trace.queue += perf_counter() - flight.since
                self.start(flight.entries, request)
            else:
                self.aside.append(flight)

    def start(self, entries: list[Entry], request: InferRequest) -> None:
        """Send *request*, which *entries* were merged into."""
        flight = Flight(entries)
        if request.members == 1:
            entries[0].flight = flight
        else:
            trace = request.trace
            for entry in entries:
                entry.flight = flight
                # From now on: whoever leaves is to know how far the request has come.
                entry.request.trace.far = trace
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
                for entry, part in zip(entries, parts, strict=True):
                    entry.answer(part)
                return
        self._fail(entries, request, error)

    def _fail(
        self, entries: list[Entry], request: InferRequest, error: BaseException | None
    ) -> None:
        if isinstance(error, NoReadyEndpoint | Draining):
            if request.avoid:
                self._put_aside(entries, request)
            else:
                self._requeue(entries, request, error)
        elif request.members > 1 and _may_blame_one(error):
            self._send_singly(entries, request, error)
        elif isinstance(error, GatewayError):
            if isinstance(error, PoisonInput):
                # Before anybody hears of it, and may ask again.
                self._poisonous(entries[0].request)
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

    def abandon(self, flight: Flight) -> None:
        """Somebody left *flight*: end it if nobody waits for it any more."""
        flight.cancel_if_nobody_waits()
        if flight.aside is not None and not flight.waits and flight in self.aside:
            self.aside.remove(flight)

    def _send_singly(
        self, entries: list[Entry], request: InferRequest, error: GatewayError
    ) -> None:
        """Ask for each member alone, once: one of them may be at fault, and gets its own verdict.

        After a client's error that is the first try of the others, and costs them nothing: no
        worker has failed. After any other it is a retry like all retries, and paid for like them.
        """
        client_error = isinstance(error, InvalidRequest)
        for entry in entries:
            if not entry.waits:
                continue
            if not client_error and not self._spending.allows(error):
                entry.fail(_again(error))
                continue
            member = entry.request
            member.trace.gather()
            member.attempts = request.attempts - client_error
            member.kills = request.kills
            member.avoid = request.avoid
            entry.alone = True
            self.start([entry], member)

    def _put_aside(self, entries: list[Entry], request: InferRequest) -> None:
        """Only an endpoint that has failed *request* has room: keep it until another one has."""
        flight = Flight(entries)
        if not flight.waits:
            return
        flight.aside, flight.since = request, perf_counter()
        for entry in entries:
            entry.flight = flight
        self.aside.append(flight)

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
            entry.request.trace.gather()
            self._back(entry)


def _again(error: GatewayError) -> GatewayError:
    """Another one that says the same, with when to come back if it says so."""
    return type(error)(error.message, retry_after=error.retry_after)


def _may_blame_one(error: BaseException | None) -> TypeGuard[GatewayError]:
    """Whether a batch may have failed because of one of its members.

    A batch that took too long, or never left, says nothing about its members.
    """
    return isinstance(error, ConnectionLost | InvalidRequest | BadAnswer) or (
        type(error) is UpstreamError
    )
