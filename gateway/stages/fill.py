# SPDX-License-Identifier: Apache-2.0
"""Fill: one running answer to a question, and all who wait for it.

The run belongs to nobody: a client that goes away takes nothing with it, unless it was the last.
A run that fails is its leader's failure; one of those who wait then leads the next, a few times.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.drive import Drive
from gateway.errors import ClientError, DeadlineExceeded, GatewayError, PoisonInput
from gateway.promise import Promise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.wire.message import InferRequest, InferResponse, Service

# So often does a follower take over from a leader whose run failed.
ELECTIONS: Final = 2
# What a promise is answered with; what came of the wait stands on the waiter.
_OVER: Final = object()


class Waiter:
    """One request that waits for a fill; *outcome* is what became of it, once that is known.

    *stored* says whether the answer is kept.
    """

    __slots__ = ("outcome", "promise", "request", "stored", "timer")

    def __init__(self, request: InferRequest) -> None:
        self.request = request
        self.outcome: InferResponse | BaseException | None = None
        self.stored = False
        self.promise: Promise[object] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def question(self) -> InferRequest:
        """What to ask the model, should it come to that."""
        return self.request

    def settle(self, outcome: InferResponse | BaseException) -> None:
        """Wake the request with what it waited for."""
        self.outcome = outcome
        self.wake()

    def wake(self) -> None:
        """Wake the request, with an outcome or, when its patience is over, without."""
        if self.promise is not None:
            # On the stack of whoever has the answer: the loop's next turn would cost more.
            self.promise.answer(_OVER)

    def leads(self) -> None:
        """It no longer waits for another's run; its deadline goes with its request."""
        if self.timer is not None:
            self.timer.cancel()

    def answer(self) -> InferResponse:
        """The response, or the error raised."""
        outcome = self.outcome
        if isinstance(outcome, GatewayError):
            # One error may go to many; each is to see its own way, not those of all before it.
            raise outcome.with_traceback(None)
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome is None:
            raise AssertionError("a fill ended without an outcome")
        return outcome


class Run:
    """One request to the model, whose answer is for all *fills*: one, or one for each of its rows.

    *digest* is that of the model that was asked. An answer of another one, as there may be while
    workers are replaced, is an answer, but must not be kept.
    """

    __slots__ = ("_digest", "_drive", "_fills", "_request", "_split", "_started")

    def __init__(
        self,
        fills: Sequence[Fill],
        request: InferRequest,
        digest: str,
        split: Callable[[InferResponse], list[InferResponse]] | None = None,
    ) -> None:
        self._fills = fills
        self._request = request
        self._digest = digest
        self._split = split
        self._drive: Drive[InferResponse] | None = Drive(self._done)
        for fill in fills:
            fill.run = self

    def __repr__(self) -> str:
        return f"<Run {self._request!r} for {len(self._fills)}>"

    def begin(self, service: Service) -> None:
        """Ask the model; that may end before this returns."""
        if self._drive is not None:
            self._drive.call(service, self._request)

    def given_up(self) -> None:
        """Nobody waits for one of the fills any more; the run ends when that is so for all."""
        if self._drive is not None and not any(fill.waiters for fill in self._fills):
            for fill in self._fills:
                fill.forget()
            self._drive.cancel()

    def _done(self, response: InferResponse | None, error: BaseException | None) -> None:
        # The two know each other; parted, they need no cycle collector.
        self._drive = None
        fills, self._fills = self._fills, ()
        if response is not None:
            try:
                answers = [response] if self._split is None else self._split(response)
            except GatewayError as fault:
                error = fault
            else:
                kept = self._request.trace.gather().digest == self._digest
                for fill, answer in zip(fills, answers, strict=True):
                    fill.succeed(answer, self._request, keep=kept)
                return
        failure = error if error is not None else AssertionError("a run ended with nothing")
        for fill in fills:
            fill.fail(failure)


class Fill:
    """The run for *key* since *started*, and those who wait for its answer."""

    __slots__ = ("_digest", "_elections", "_fills", "key", "leader", "run", "started", "waiters")

    def __init__(self, fills: Fills, key: bytes, digest: str, started: float) -> None:
        self._fills = fills
        self._digest = digest
        self._elections = 0
        self.key = key
        self.started = started
        self.run: Run | None = None
        self.leader: Waiter | None = None
        self.waiters: dict[Waiter, None] = {}

    def __repr__(self) -> str:
        return f"<Fill {self.key.hex()} waiters={len(self.waiters)} elections={self._elections}>"

    @property
    def followed(self) -> bool:
        """Whether somebody waits besides the leader."""
        return len(self.waiters) > (self.leader in self.waiters)

    def leave(self, waiter: Waiter) -> None:
        """*waiter* no longer waits; the run ends with the last."""
        self.waiters.pop(waiter, None)
        if not self.waiters and self.run is not None:
            self.run.given_up()

    def forget(self) -> None:
        """Be found no more."""
        self._fills.forget(self)

    def succeed(self, response: InferResponse, request: InferRequest, *, keep: bool) -> None:
        """The run for *request* gave *response*."""
        stored = False
        try:
            if keep:
                response, stored = self._fills.keep(self, response, request)
        finally:
            # Whatever became of the copy, there is an answer, and many may wait for it.
            self._end(response, stored=stored)

    def fail(self, failure: BaseException) -> None:
        """The run failed: for its leader, and for all where another could not do better."""
        leader = self.leader
        others = [waiter for waiter in self.waiters if waiter is not leader]
        # What is wrong with the question is wrong with each follower's, which is the same.
        lasting = isinstance(failure, (ClientError, PoisonInput))
        if lasting or not others or self._elections >= ELECTIONS:
            self._end(failure)
            return
        self._elections += 1
        waits = leader is not None and leader in self.waiters
        if leader is not None:
            self.waiters.pop(leader, None)
        self.leader = elected = others[0]
        elected.leads()
        Run((self,), elected.question(), self._digest).begin(self._fills.service)
        if waits and leader is not None:
            # Last: it goes on at once, and may ask again.
            leader.settle(failure)

    def _end(self, outcome: InferResponse | BaseException, *, stored: bool = False) -> None:
        self._fills.forget(self)
        self.run = None
        waiters, self.waiters = self.waiters, {}
        for waiter in waiters:
            waiter.stored = stored
            waiter.settle(outcome)


class Fills:
    """The fills that run now, by key.

    *keep* is given each response once, with its fill and the request that it answers, and returns
    what is handed out and whether it was stored. *lock_timeout* is how many seconds a follower
    waits for a leader, and a leader is followed.
    """

    def __init__(
        self,
        service: Service,
        keep: Callable[[Fill, InferResponse, InferRequest], tuple[InferResponse, bool]],
        *,
        lock_timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self.service: Final = service
        self.keep: Final = keep
        self.lock_timeout: Final = lock_timeout
        self._clock = clock
        self._running: dict[bytes, Fill] = {}

    def __repr__(self) -> str:
        waiting = sum(len(fill.waiters) for fill in self._running.values())
        return f"<Fills {len(self._running)} running, {waiting} waiting>"

    def running(self, key: bytes, now: float) -> Fill | None:
        """The fill to follow at the instant *now*; one that hangs is not followed any more."""
        fill = self._running.get(key)
        if fill is not None and now - fill.started < self.lock_timeout:
            return fill
        return None

    def begin(self, key: bytes, leader: Waiter, digest: str, now: float) -> Fill:
        """A fill for *key*, which those who ask the same from now on will find."""
        fill = self._running[key] = Fill(self, key, digest, now)
        fill.leader = leader
        fill.waiters[leader] = None
        return fill

    def forget(self, fill: Fill) -> None:
        """*fill* has ended, or nobody waits for it."""
        if self._running.get(fill.key) is fill:
            del self._running[fill.key]

    async def lead(self, key: bytes, request: InferRequest) -> tuple[InferResponse, bool]:
        """Run *request* for all who ask the same meanwhile; also whether the answer was stored."""
        waiter = Waiter(request)
        digest = request.trace.digest
        fill = self.begin(key, waiter, digest, self._clock())
        Run((fill,), request, digest).begin(self.service)
        if waiter.outcome is None:
            waiter.promise = Promise(asyncio.get_running_loop())
            try:
                await waiter.promise
            except asyncio.CancelledError:
                fill.leave(waiter)
                raise
        return waiter.answer(), waiter.stored

    async def follow(self, fill: Fill, request: InferRequest) -> InferResponse | None:
        """The answer of *fill*, None if it took longer than a follower waits.

        Raises what the fill failed with, or DeadlineExceeded when *request* has no time left.
        """
        left = request.deadline - self._clock()
        if left <= 0:
            raise DeadlineExceeded("the deadline passed before an equal request was answered")
        loop = asyncio.get_running_loop()
        waiter = Waiter(request)
        waiter.promise = Promise(loop)
        waiter.timer = loop.call_later(min(left, self.lock_timeout), waiter.wake)
        fill.waiters[waiter] = None
        try:
            await waiter.promise
        except asyncio.CancelledError:
            fill.leave(waiter)
            raise
        finally:
            waiter.timer.cancel()
        if waiter.outcome is not None:
            return waiter.answer()
        fill.leave(waiter)
        if left <= self.lock_timeout:
            raise DeadlineExceeded("the deadline passed while an equal request was being answered")
        return None
