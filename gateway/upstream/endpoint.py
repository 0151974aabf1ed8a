# SPDX-License-Identifier: Apache-2.0
"""Endpoint: one address with its state, load and health; it wraps a transport.

From the outside in: breaker (`Ejection`), attempt timeout, load guard, transport.
"""

from __future__ import annotations

import asyncio
import logging
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

from gateway.errors import (
    AttemptTimeout,
    BadAnswer,
    Busy,
    DeadlineExceeded,
    Draining,
    GatewayError,
    UpstreamError,
)
from gateway.upstream.health import Ejection, Liveness

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.upstream.gradient import Gradient
    from gateway.upstream.policy import Loaded
    from gateway.upstream.transport import Reply, Transport, Upcall
    from gateway.wire.message import InferRequest, InferResponse
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Tensor

log = logging.getLogger(__name__)

# The loop counts its timers from the beginning of a turn: without these seconds one could be early,
# and a queue that waits for the end of an ejection would not be told of it.
_LATE: Final = 0.01


class Watcher(Protocol):
    """The pool, as its endpoints see it."""

    def changed(self, endpoint: Endpoint) -> None:
        """*endpoint* may be ready now, or may not be any more, or has a free slot."""
        ...

    def learn(self) -> None:
        """An endpoint came up or went down, and so the model may be another."""
        ...

    def may_eject(self, endpoint: Endpoint) -> bool:
        """Whether the pool can do without *endpoint*."""
        ...

    def attempted(self, endpoint: Endpoint, result: str, seconds: float) -> None:
        """One attempt ended: *result* is ``ok`` or the code of an error."""
        ...

    def outpaced(self, endpoint: Endpoint, seconds: float) -> bool:
        """Whether others answer while *endpoint* let a deadline pass after so many seconds."""
        ...

    def ejected(self, endpoint: Endpoint, reason: str) -> None:
        """*endpoint* has been ejected."""
        ...

    def returned(self, endpoint: Endpoint) -> None:
        """*endpoint* has come up, or come back from an ejection."""
        ...


class Endpoint:
    """One worker address; call it to send it a request.

    *cap* bounds the requests in flight; None takes the worker's parallelism and one more, which
    hides the way there and back. With a *gradient* the bound is what that finds out instead.
    *attempt_timeout* is in seconds, 0 leaves it to the deadline.
    """

    def __init__(
        self,
        name: str,
        transport: Callable[[Upcall], Transport],
        watcher: Watcher,
        *,
        ejection: Ejection,
        liveness: Liveness | None = None,
        weight: float = 1.0,
        tier: int = 0,
        cap: int | None = None,
        gradient: Gradient | None = None,
        attempt_timeout: float = 0.0,
    ) -> None:
        self.name = name
        self.weight = weight
        self.tier = tier
        self.ejection = ejection
        self.liveness = liveness or Liveness()
        self.transport = transport(self)
        self.info: ModelInfo | None = None
        self.instance = ""
        self.draining = False
        # Ejected by quality probes, until they find its answers right again.
        self.wrong = False
        self.pending = 0
        self.pending_rows = 0
        self.attempts = 0
        self.cap = cap or 2
        # What other gateway processes have pending here, requests and rows, if that is known.
        self.elsewhere: Callable[[], tuple[int, int]] | None = None
        self._own_cap = cap
        self._gradient = gradient
        self._typical = 0.0
        self._rest: asyncio.TimerHandle | None = None
        self._watcher = watcher
        self._attempt_timeout = attempt_timeout

    def __repr__(self) -> str:
        return f"<Endpoint {self.name} {self.state} pending={self.pending}/{self.cap}>"

    @property
    def state(self) -> str:
        """One word for people and metrics."""
        if self.draining:
            return "draining"
        if not self.liveness.up:
            return "down"
        if self.wrong or self.ejection.until is not None:
            return "ejected"
        return "ready"

    @property
    def whole(self) -> int:
        """The cap of an endpoint that is warm."""
        if self._gradient is not None:
            return self._gradient.limit
        if self._own_cap is not None or self.info is None:
            return self._own_cap or 2
        return self.info.parallelism + 1

    def view(self) -> Loaded | None:
        """What a policy is to see of it, None while it is full; for pools whose load is shared."""
        return self if self.pending < self.cap else None

    @property
    def busy(self) -> bool:
        """Has something to answer, to this process or, where that is known, to another."""
        return self.pending > 0 or (self.elsewhere is not None and self.elsewhere()[0] > 0)

    @property
    def healthy(self) -> bool:
        """May be sent requests, were it not for its load."""
        ejection = self.ejection
        return (
            self.liveness.up
            and not self.draining
            and not self.wrong
            # Looked at here first: this is asked of every endpoint for every batch.
            and (ejection.until is None or ejection.allows())
        )

    async def __call__(self, request: InferRequest) -> InferResponse:
        """Send *request*; raises an UpstreamError, or what the worker says of the request."""
        probe = self.ejection.sent()
        rows = request.rows
        self.pending += 1
        self.attempts += 1
        self.pending_rows += rows
        started = perf_counter()
        result = "cancelled"
        try:
            answer = self.transport.send(request)
            if self._attempt_timeout:
                response = await self._within(answer, self._attempt_timeout)
            else:
                response = await answer
            if self.info is not None and self.info.batched:
                _check_rows(response.outputs, request.rows, self.name)
            result = "ok"
            if self.ejection.succeeded(probe=probe):
                self._watcher.returned(self)
            self._learn(rows, perf_counter() - started)
        except UpstreamError as error:
            result = error.code
            if isinstance(error, Busy):
                # It lives, and a verdict on it as on a broken one would make it harder for others.
                self.ejection.dropped(probe=probe)
                self.rests(error.retry_after or 1.0)
            else:
                self._failed(error, probe=probe)
            raise
        except GatewayError as error:
            # The request's own fault, or a refusal: the endpoint has answered, so it lives.
            result = error.code
            if isinstance(error, Draining):
                self.drains()
            if not isinstance(error, DeadlineExceeded) and self.ejection.succeeded(probe=probe):
                self._watcher.returned(self)
            raise
        finally:
            self.pending -= 1
            self.pending_rows -= rows
            seconds = perf_counter() - started
            if result in ("cancelled", "deadline_exceeded"):
                self._unanswered(request, seconds, probe=probe)
            request.trace.upstream += seconds
            self._watcher.attempted(self, result, seconds)
            self._watcher.changed(self)
        trace = request.trace
        trace.endpoint = self.name
        if self.info is not None:
            # While a model is replaced, endpoints of one pool may have different files.
            trace.digest = self.info.digest
        return response

    async def _within(self, answer: Reply, seconds: float) -> InferResponse:
        # Not asyncio.timeout: a driven coroutine has no task that it could cancel.
        expired = False

        def expire() -> None:
            nonlocal expired
            # Known before: whoever awaits a promise goes on within the call that cancels it.
            expired = not answer.done()
            answer.cancel()

        timer = asyncio.get_running_loop().call_later(seconds, expire)
        try:
            return await answer
        except asyncio.CancelledError:
            if expired:
                message = f"endpoint {self.name} took more than {seconds:g} s for one attempt"
                raise AttemptTimeout(message) from None
            raise
        finally:
            timer.cancel()

    def _failed(self, error: UpstreamError, *, probe: bool) -> None:
        reason = self.ejection.failed(probe=probe)
        if reason is None:
            return
        if not self._watcher.may_eject(self):
            if reason == "probe":
                # The others are gone meanwhile: a bad worker is better than none.
                self.ejection.reset()
            return
        seconds = self.ejection.eject()
        log.warning("endpoint %s ejected for %.1f s (%s): %s", self.name, seconds, reason, error)
        self._watcher.ejected(self, reason)
        loop = asyncio.get_running_loop()
        loop.call_later(seconds + _LATE, self._watcher.changed, self)

    def _unanswered(self, request: InferRequest, seconds: float, *, probe: bool) -> None:
        """Nobody waits any more for what it has had for so many seconds.

        That is no verdict where the client left, or had little time; it is one where it let the
        deadline pass while others are many times quicker.
        """
        if request.deadline <= perf_counter() and self._watcher.outpaced(self, seconds):
            why = f"no answer within {seconds:.3f} s, when the deadline passed; others are quicker"
            self._failed(AttemptTimeout(why), probe=probe)
        else:
            self.ejection.dropped(probe=probe)

    @property
    def typical(self) -> float:
        """Seconds that an attempt usually takes here, as far as it was answered."""
        return self._typical

    def rests(self, seconds: float) -> None:
        """Send nothing for *seconds*, as it asked for; a shorter rest does not end a longer one."""
        if self._gradient is not None:
            self._gradient.failed()
        loop = asyncio.get_running_loop()
        rest = self._rest
        if rest is not None:
            if rest.when() >= loop.time() + seconds:
                return
            rest.cancel()
        self.cap = 0
        self._rest = loop.call_later(seconds, self._rested)

    @property
    def resting(self) -> bool:
        """Asked to be spared for a while."""
        return self._rest is not None

    def _learn(self, rows: int, seconds: float) -> None:
        """An answer to *rows* took *seconds*."""
        self._typical += (seconds - self._typical) * 0.1
        if self._gradient is not None:
            self._gradient.observe(rows, seconds, in_flight=self.pending)
            if not self.resting:
                self.cap = self.whole

    def _rested(self) -> None:
        self._rest = None
        self.cap = self.whole
        self._watcher.changed(self)

    def found(self, *, wrong: bool) -> None:
        """Quality probes say whether its answers are *wrong*; counts where that is news."""
        if wrong == self.wrong:
            return
        self.wrong = wrong
        if wrong:
            log.warning(
                "endpoint %s ejected until its answers are right again (quality)", self.name
            )
            self._watcher.ejected(self, "quality")
        else:
            log.info("endpoint %s gives right answers again", self.name)
            self._watcher.returned(self)
        self._watcher.changed(self)

    # What the transport tells.

    def came_up(self, info: ModelInfo, instance: str) -> None:
        """The worker said hello."""
        if instance != self.instance:
            self.ejection.reset()
            self.instance = instance
        self.info = info
        self.draining = False
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        self.cap = self.whole
        self.liveness.connected()
        self._watcher.returned(self)
        self._watcher.learn()
        log.info("endpoint %s is up: %s version %s", self.name, info.name, info.version)
        self._watcher.changed(self)

    def went_down(self, reason: str) -> None:
        """The connection ended."""
        self.liveness.disconnected()
        self._watcher.learn()
        log.warning("endpoint %s is down: %s", self.name, reason)
        self._watcher.changed(self)

    def drains(self) -> None:
        """The worker takes no more."""
        self.draining = True
        self._watcher.changed(self)

    async def watch(
        self, *, interval: float, timeout: float, jitter: float, rng: Random | None = None
    ) -> None:
        """Probe every *interval* seconds (a quarter of it while in transition) until cancelled.

        A probe may take *timeout* seconds, or four of the attempts that are usual here: it waits
        for the inference that is running. An endpoint that falls loses its connection, so that
        what a frozen worker holds is tried elsewhere before its deadline.
        """
        spread = rng or Random()
        while True:
            pause = interval / 4 if self.liveness.in_transition else interval
            await asyncio.sleep(pause * (1 + jitter * (2 * spread.random() - 1)))
            if not self.liveness.up:
                continue  # only a connection brings it back, and the transport sees to that
            good = True
            try:
                async with asyncio.timeout(max(timeout, 4 * self._typical)):
                    await self.transport.probe()
            except (TimeoutError, UpstreamError):
                good = False
            if self.liveness.probed(good=good):
                self.transport.drop("it does not answer probes")


def _check_rows(outputs: tuple[Tensor, ...], rows: int, name: str) -> None:
    """Raise BadAnswer unless each output has *rows* rows: it would be another request's answer."""
    if not outputs:
        raise BadAnswer(f"endpoint {name} answered without any output")
    for output in outputs:
        shape = output.shape
        if not shape or shape[0] != rows:
            raise BadAnswer(
                f"endpoint {name} answered output '{output.name}' with the shape {list(shape)} to "
                f"{rows} rows"
            )
