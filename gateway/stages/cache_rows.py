# SPDX-License-Identifier: Apache-2.0
"""RowCache: a batch whose rows are questions of their own, each with an answer of its own.

Only the rows that nobody has the answer to travel, equal ones once, and all answers return in the
order of the rows. What a batch shares with the one before it is then no work.
"""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING, Final

from gateway.errors import BadAnswer, DeadlineExceeded, OnlyIfCached
from gateway.stages.cache_key import SIZE
from gateway.stages.fill import Run
from gateway.stages.freshness import NO_ANSWER
from gateway.stages.merge import split
from gateway.stages.row_batch import RowBatch, RowWaiter, Waiting, rows_of
from gateway.wire.message import NO_RULES

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.stages.fill import Fills
    from gateway.stages.freshness import Freshness
    from gateway.stages.payoff import Payoff
    from gateway.stages.shelf import Cached, Shelf
    from gateway.stages.upkeep import Upkeep
    from gateway.stores.memory import Entry
    from gateway.telemetry import Telemetry
    from gateway.wire.message import InferRequest, InferResponse

_TOO_LATE: Final = "the deadline passed while rows of the batch were being answered"


class RowCache:
    """Answers batches out of *shelf* and *fills*, as `Cache` does with single questions.

    *shared* says that the stage below looks for answers too.
    """

    def __init__(
        self,
        fills: Fills,
        shelf: Shelf,
        upkeep: Upkeep,
        payoff: Payoff,
        *,
        model: str,
        freshness: Freshness,
        shared: bool,
        telemetry: Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._fills = fills
        self._shelf = shelf
        self._upkeep = upkeep
        self._payoff = payoff
        self._freshness = freshness
        self._shared = shared
        self._clock = clock
        self._requests = {
            result: telemetry.cache.cell(model, "memory", result)
            for result in ("hit", "partial", "miss")
        }
        self._rows = {
            result: telemetry.cache_rows.cell(model, result)
            for result in ("hit", "merged", "collapsed", "miss")
        }
        self._saved = telemetry.cache_saved_seconds.cell(model)
        self._observe = telemetry.cache_seconds.cell("memory").observe

    async def answer(self, request: InferRequest, joined: bytes, started: float) -> InferResponse:
        """The answer to *request*, whose rows have the keys in *joined*.

        Raises OnlyIfCached, DeadlineExceeded, or what the model's run raises.
        """
        trace = request.trace
        batch = RowBatch(request, [joined[at : at + SIZE] for at in range(0, len(joined), SIZE)])
        self._look_up(batch, started)
        rows = len(batch.keys)
        known = rows - sum(map(len, batch.missing.values()))
        trace.lookup = seconds = self._clock() - started
        self._observe(seconds)
        self._payoff.looked(seconds / rows, hit=known / rows)
        self._rows["hit"].value += known
        self._requests["partial" if 0 < known < rows else "hit" if known else "miss"].value += 1
        if known == rows:
            trace.age = batch.age
            trace.cache = f"hit; ttl={int(batch.left // 1)}"
        elif not await self._complete(batch, known):
            # Half an answer of one model file and half of another is an answer of none.
            trace.cache = "fwd=bypass; detail=model-changed"
            return await self._fills.service(request)
        try:
            return batch.joined()
        except BadAnswer:
            # Rows of different sizes, which only the model can put together.
            trace.age = None
            trace.cache = "fwd=bypass; detail=uneven-rows"
            return await self._fills.service(request)

    async def _complete(self, batch: RowBatch, known: int) -> bool:
        """Find the answers to the missing rows; False where those of others do not go with them."""
        request, trace = batch.request, batch.request.trace
        trace.cache = "fwd=partial" if known else "fwd=uri-miss"
        if request.rules.only_if_cached and not self._shared:
            raise OnlyIfCached("the request asks for cached answers only, and rows have none")
        asked = trace.digest
        if not self._freshness.ready() and self._in_need(batch):
            # They would wait for a worker until their deadline.
            return True
        try:
            stored = await self._ask(batch)
        except NO_ANSWER:
            if not self._in_need(batch):
                raise
            return True
        if known and trace.gather().digest != asked:
            return False
        if trace.age is not None:
            # The stage below had all that was missing here.
            trace.cache = "hit; detail=shared"
        else:
            detail = f'; detail="{known} of {len(batch.keys)} rows"' if known else ""
            trace.cache += ("; stored" if stored else "") + detail
        return True

    def _look_up(self, batch: RowBatch, now: float) -> None:
        """Give every row the answer that is on the shelf; the rest is missing, equal rows once."""
        request, rules = batch.request, batch.request.rules
        find, missing = self._shelf.find, batch.missing
        for row, key in enumerate(batch.keys):
            places = missing.get(key)
            if places is not None:
                places.append(row)
                self._rows["merged"].value += 1
                continue
            found = None if rules.no_cache else find(key, now)
            if found is not None:
                cached = found.value
                left, age = cached.fresh - now, now - found.stored
                if self._freshness.will_do(rules, age, left):
                    if left <= 0:
                        self._upkeep.renew(key, rows_of(request, (row,)))
                    self._use(batch, row, found, now)
                    continue
                batch.old[key] = found
            missing[key] = [row]

    def _use(self, batch: RowBatch, row: int, entry: Entry[Cached], now: float) -> None:
        cached = entry.value
        batch.use(row, entry, now)
        self._saved.value += cached.cost
        upkeep = self._upkeep
        upkeep.until_check -= 1
        if cached.once or upkeep.until_check <= 0:
            upkeep.hit(batch.keys[row], cached, cached.fresh - now, batch.request, row=row)

    def _in_need(self, batch: RowBatch) -> bool:
        """Give the missing rows their old answers; False where one has none, or too old a one."""
        now, rules = self._clock(), batch.request.rules
        for key in batch.missing:
            old = batch.old.get(key)
            if old is None or not self._freshness.in_need(rules, old.value.fresh - now):
                return False
        for key, places in batch.missing.items():
            for row in places:
                self._use(batch, row, batch.old[key], now)
        trace = batch.request.trace
        trace.age = batch.age
        trace.cache = f"hit; ttl={int(batch.left // 1)}; detail=stale-if-error"
        return True

    async def _ask(self, batch: RowBatch) -> bool:
        """Have the missing rows answered; True where all that the model gave is stored."""
        request = batch.request
        now = self._clock()
        waiting = Waiting(len(batch.missing))
        led: list[RowWaiter] = []
        followed: list[RowWaiter] = []
        for key, places in batch.missing.items():
            # Whoever wants a new answer does not join an old run.
            fill = self._fills.running(key, now) if request.rules is NO_RULES else None
            waiter = RowWaiter(request, key, places, waiting)
            if fill is None:
                led.append(waiter)
            else:
                waiter.fill = fill
                fill.waiters[waiter] = None
                followed.append(waiter)
        self._rows["miss"].value += len(led)
        self._rows["collapsed"].value += len(followed)
        if led:
            self._lead(request, led)
        if waiting.left:
            await self._settled(request, waiting, led, followed)
        for waiter in (*led, *followed):
            response = waiter.answer()
            for row in waiter.places:
                batch.parts[row] = response
        return all(waiter.stored for waiter in led)

    def _lead(self, request: InferRequest, waiters: list[RowWaiter]) -> None:
        """Ask the model for the rows of *waiters*, and for all who want one of them meanwhile."""
        now = self._clock()
        digest = request.trace.digest
        rows = [waiter.places[0] for waiter in waiters]
        asked = copy(request) if len(rows) == request.rows else rows_of(request, rows)
        asked.key = b"".join([waiter.key for waiter in waiters])
        fills = []
        for waiter in waiters:
            waiter.fill = fill = self._fills.begin(waiter.key, waiter, digest, now)
            fills.append(fill)

        def rows_apart(response: InferResponse) -> list[InferResponse]:
            return split(response, [1] * len(rows))

        Run(fills, asked, digest, rows_apart).begin(self._fills.service)

    async def _settled(
        self,
        request: InferRequest,
        waiting: Waiting,
        led: list[RowWaiter],
        followed: list[RowWaiter],
    ) -> None:
        """Wait for all rows; those that others make for as long as a follower waits."""
        loop = asyncio.get_running_loop()
        waiting.future = loop.create_future()
        left = request.deadline - self._clock()

        def lose_patience() -> None:
            late = [waiter for waiter in followed if waiter.outcome is None and not waiter.led]
            for waiter in late:
                waiter.leave()
            if left <= self._fills.lock_timeout:
                for waiter in late:
                    waiter.settle(DeadlineExceeded(_TOO_LATE))
            elif late:
                self._lead(request, late)

        timer = None
        if followed:
            timer = loop.call_later(max(0.0, min(left, self._fills.lock_timeout)), lose_patience)
        try:
            await waiting.future
        except asyncio.CancelledError:
            for waiter in (*led, *followed):
                waiter.leave()
            raise
        finally:
            if timer is not None:
                timer.cancel()
