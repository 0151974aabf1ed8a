# SPDX-License-Identifier: Apache-2.0
"""Batch: the one queue; what waits together leaves together.

Work-conserving: with a free slot a request leaves in the same turn of the loop, and there is no
timer that would hold it back. While all slots are busy, compatible requests gather.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.errors import DeadlineExceeded
from gateway.stages.cost import Cost
from gateway.stages.drain_rate import DrainRate
from gateway.stages.entry import enqueued
from gateway.stages.flight import Flights
from gateway.stages.lines import Lines
from gateway.stages.merge import compatibility, merge, placed
from gateway.stages.quarantine import Quarantine
from gateway.stages.retry_budget import RetryBudget, Spending
from gateway.stages.room import Room
from gateway.wire.message import NEVER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.stages.entry import Entry
    from gateway.telemetry import Telemetry
    from gateway.upstream.pool import Pool
    from gateway.wire.message import InferRequest, InferResponse, Service

# Below this many seconds for a full batch, cutting batches to fit a deadline is not worth its cost.
_QUICK: Final = 0.001
# Where a request was when its deadline passed, by whether it was with a worker.
_WHERE: Final = (
    "the deadline passed while it waited for a worker that had not failed it",
    "the deadline passed while a worker had it",
)


class Batch:
    """Queues, merges, dispatches and splits; bounded by *queue_rows* and *queue_bytes*.

    *max_rows* bounds a batch. Refuses with Shed when the queue is full, or so long that the answer
    would come too late, and fails with DeadlineExceeded whoever has waited too long, in the queue
    or on the way. Once the head has waited *newest_first_after* seconds, the newest goes first: in
    a standing overload those are the ones that can still be in time. 0 is never. Members of failed
    batches that are sent again spend *budget*; what is in *quarantine* is not even queued. *cost*
    is what is known already of the model's runs.
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
        newest_first_after: float = 1.0,
        budget: RetryBudget | None = None,
        quarantine: Quarantine | None = None,
        cost: Cost | None = None,
    ) -> None:
        self._inner = inner
        self._model = model
        self._pool = pool
        self._max_rows = max_rows
        self._merges = max_rows > 1
        self._line_of = placed if pool.keyed else compatibility
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gone = self._abandon
        self._queue_rows = queue_rows
        self._queue_bytes = queue_bytes
        self._newest_first_after = newest_first_after or NEVER
        self._lines = Lines()
        self._flights = Flights(
            inner,
            landed=self._landed,
            back=self._back,
            spending=Spending(budget or RetryBudget(), model=model, telemetry=telemetry),
            takes=pool.takes,
            poisonous=self._quarantined,
        )
        self.quarantine = quarantine or Quarantine(model=model, telemetry=telemetry)
        # Another function while anything is in quarantine, so that nobody else pays for asking.
        self._enqueued = self._checked if self.quarantine else enqueued
        self._pump_due = False
        self._wake_at = NEVER
        self._waker: asyncio.TimerHandle | None = None
        self.cost = cost or Cost()
        self._rate = DrainRate()
        self._room = room = Room(
            self._lines,
            self._rate,
            model=model,
            telemetry=telemetry,
            queue_rows=queue_rows,
            queue_bytes=queue_bytes,
            newest_first_after=self._newest_first_after,
        )
        # Raises Shed for a body that need not be decoded, since the queue is full.
        self.turn_away = room.turn_away
        self._dispatched = telemetry.queue_seconds.cell(model, "dispatched")
        self._expired = telemetry.queue_seconds.cell(model, "expired")
        self._client_gone = telemetry.queue_seconds.cell(model, "client_gone")
        self._batch_rows = telemetry.batch_rows.cell(model)
        queued = telemetry.queued_rows.cell(model)

        def collect() -> None:
            queued.value = self.queued_rows

        self._subscribed = (telemetry.on_collect(collect), pool.on_change(self._schedule))

    def __repr__(self) -> str:
        return f"<Batch {self._lines!r} {self._flights!r} {self.cost!r} {self._rate!r}>"

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a slot."""
        return self._lines.rows + self._flights.rows_aside

    def retire(self) -> None:
        """Hear no more of the pool, and fill no gauge: another has taken this one's place."""
        for end in self._subscribed:
            end()

    def __call__(self, request: InferRequest) -> Awaitable[InferResponse]:
        """Queue *request*, alone or with others; raises Shed, DeadlineExceeded, PoisonInput."""
        loop = self._loop or self._enter_loop()
        now = perf_counter()
        deadline = request.deadline
        if deadline <= now:
            raise DeadlineExceeded("the deadline had passed before the request was queued")
        entry = self._enqueued(request, loop, now, self._gone)
        lines = self._lines
        if lines.rows and (
            lines.rows > self._max_rows
            or lines.rows + (entry.rows or 1) > self._queue_rows
            or lines.bytes + entry.nbytes > self._queue_bytes
        ):
            self._room.judge(entry)
        lines.append(entry, self._line_of(request) if self._merges and self._pool.batched else None)
        if deadline < self._wake_at:
            self._wake(loop, deadline)
        if not self._pump_due:
            self._pump_due = True
            loop.call_soon(self._pump)
        return entry

    def _quarantined(self, request: InferRequest) -> None:
        """*request* has taken two workers down."""
        self.quarantine.add(request)
        self._enqueued = self._checked

    def _checked(
        self,
        request: InferRequest,
        loop: asyncio.AbstractEventLoop,
        now: float,
        gone: Callable[[Entry], None],
    ) -> Entry:
        """As `enqueued`; raises PoisonInput for what is in quarantine."""
        self.quarantine.check(request)
        if not self.quarantine:
            self._enqueued = enqueued
        return enqueued(request, loop, now, gone)

    def _enter_loop(self) -> asyncio.AbstractEventLoop:
        # Asked for once: in Python 3.11 each call costs a getpid().
        self._loop = loop = asyncio.get_running_loop()
        return loop

    def _schedule(self) -> None:
        if not self._pump_due and (self._lines or self._flights.aside):
            self._pump_due = True
            (self._loop or self._enter_loop()).call_soon(self._pump)

    def _pump(self) -> None:
        """Dispatch while there are entries and free slots."""
        self._pump_due = False
        lines = self._lines
        if self._flights.aside:
            self._flights.resume()
        cost = self.cost
        worth = cost.rows_worth(self._max_rows)
        fits = None if cost.seconds(worth) < _QUICK else self._fits
        while lines:
            slots, endpoints = self._pool.capacity()
            if not slots:
                self._rate.waits(perf_counter())
                return
            # Rows are not piled on one worker while another could take its part of them.
            share = -(-lines.rows // endpoints)
            now = perf_counter()
            newest = now - lines.oldest > self._newest_first_after
            self._dispatch(lines.take(min(worth, max(share, 1)), fits, newest=newest), now)

    def _fits(self, deadline: float, rows: int) -> bool:
        """Whether a batch of *rows* that leaves now is expected back before *deadline*."""
        return perf_counter() + self.cost.seconds(rows) < deadline

    def _dispatch(self, entries: list[Entry], now: float) -> None:
        observe = self._dispatched.observe
        requests = []
        late = False
        for entry in entries:
            request = entry.request
            if request.deadline <= now:
                late = True
                continue
            waited = now - entry.queued_at
            observe(waited)
            request.trace.queue += waited
            requests.append(request)
        if late:
            for entry in entries:
                if entry.request.deadline <= now:
                    self._expire_queued(entry, now)
            entries = [entry for entry in entries if entry.waits]
            if not requests:
                return
        request = requests[0] if len(requests) == 1 else merge(requests)
        self._batch_rows.observe(request.rows)
        self._flights.start(entries, request)

    def _landed(self, request: InferRequest) -> None:
        """A batch was answered."""
        trace = request.trace
        room = self._room
        # Seconds from sending a batch to its answer, its wait at the worker included.
        room.upstream += (trace.upstream - room.upstream) * 0.1
        if trace.infer:
            self.cost.observe(trace.batch_rows or request.rows, trace.infer)
        self._rate.landed(request.rows, perf_counter(), waiting=bool(self._lines))

    def _back(self, entry: Entry) -> None:
        """*entry* found no endpoint."""
        merges = not entry.alone and self._merges and self._pool.batched
        self._lines.push_front(entry, self._line_of(entry.request) if merges else None)
        # Not in this turn: what made the endpoint unavailable must be seen first.
        (self._loop or self._enter_loop()).call_later(0.001, self._schedule)

    def _abandon(self, entry: Entry) -> None:
        """The client of *entry* is gone; nobody else's answer depends on that."""
        if entry.flight is None:
            self._lines.remove(entry)
            self._client_gone.observe(perf_counter() - entry.queued_at)
        else:
            self._flights.abandon(entry.flight)

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
                self._expire_queued(entry, now)
            else:
                earliest = min(earliest, entry.request.deadline)
        for flight in self._flights:
            for entry in flight.entries:
                if not entry.waits:
                    continue
                if entry.request.deadline <= now:
                    entry.fail(DeadlineExceeded(_WHERE[flight.aside is None]))
                else:
                    earliest = min(earliest, entry.request.deadline)
            self._flights.abandon(flight)
        # Whoever was told may have asked again already, with a deadline of its own.
        if earliest < self._wake_at:
            self._wake(asyncio.get_running_loop(), earliest)

    def _expire_queued(self, entry: Entry, now: float) -> None:
        """The deadline of *entry* passed before it could leave."""
        waited = now - entry.queued_at
        self._expired.observe(waited)
        entry.fail(DeadlineExceeded(f"the deadline passed after {waited:.3f} s in queue"))
