# SPDX-License-Identifier: Apache-2.0
"""Remote: the transport to a server that speaks v2 over HTTP and that is not ours.

It has no connection that would tell of its end. So whatever looks like one is looked into at once,
and the probes ask for everything that a worker of ours says by itself: is the model there, is it
the same one, and does it compute?
"""

from __future__ import annotations

import asyncio
import logging
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.errors import (
    BadAnswer,
    Busy,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    GatewayError,
    UpstreamError,
)
from gateway.promise import Promise
from gateway.upstream.caller import Refused, Stale
from gateway.upstream.made_up import made_up
from gateway.upstream.refusals import NotReady
from gateway.upstream.served import Served, meet
from gateway.wire.message import NEVER, InferRequest, InferResponse

if TYPE_CHECKING:
    from gateway.upstream.caller import Caller
    from gateway.upstream.transport import Upcall
    from gateway.wire.tensor import Tensor

log = logging.getLogger(__name__)

# Seconds between attempts to meet a server that is not there: often at first, then less.
MEET_FIRST: Final = 0.05
MEET_MOST: Final = 1.0
MEET_TIMEOUT: Final = 5.0
# A model that is cold takes its time for the first inference.
FIRST_TIMEOUT: Final = 60.0
# Inferences before a server gets requests, the one that showed that an input fits among them.
WARM_UP: Final = 3
# A server that went away so often over an input that was made up is not sent it again.
_DEADLY: Final = 2


class Remote:
    """The model *name*, *remote_name* on *caller*'s server; *version* "" is the server's choice."""

    def __init__(
        self,
        caller: Caller,
        upcall: Upcall,
        *,
        name: str,
        remote_name: str = "",
        version: str = "",
    ) -> None:
        self.address = caller.address
        self._caller = caller
        self._upcall = upcall
        self._name = name
        self._remote_name = remote_name or name
        self._version = version
        self._served: Served | None = None
        self._flights: dict[int, tuple[Promise[InferResponse], asyncio.Task[None]]] = {}
        self._ids = count(1)
        self._doubt = asyncio.Event()
        self._trouble = ""
        # The made-up input that a model of this digest took, and how often one was deadly to it.
        self._proven: tuple[str, tuple[Tensor, ...]] | None = None
        self._deaths = 0

    def __repr__(self) -> str:
        state = "down" if self._served is None else "up"
        return f"<Remote {self.address} {state} {len(self._flights)} in flight>"

    def send(self, request: InferRequest) -> Promise[InferResponse]:
        """Ask the server, in a task of its own; see Transport."""
        loop = asyncio.get_running_loop()
        served = self._served
        if served is None:
            lost: Promise[InferResponse] = Promise(loop)
            lost.fail(ConnectFailed(f"server {self.address} is not ready"))
            return lost
        id_ = next(self._ids)
        promise: Promise[InferResponse] = Promise(loop, self._forget, id_)
        task = loop.create_task(self._carry(served, request, promise))
        self._flights[id_] = (promise, task)
        return promise

    async def probe(self) -> float:
        """An inference with a made-up input where one is known to fit; seconds that it took.

        Before it the server is asked whether it is ready, and still who it was.
        """
        served = self._served
        if served is None:
            raise ConnectFailed(f"server {self.address} is not ready")
        started = perf_counter()
        await self._check(served)
        if served.sample is not None:
            started = perf_counter()
            try:
                await served.ask(InferRequest(self._name, served.sample))
            except Busy:
                pass  # it is alive, and has said why it does not answer
            except UpstreamError:
                raise
            except GatewayError as error:
                raise UpstreamError(f"it took this input before: {error}") from error
        return perf_counter() - started

    def drop(self, reason: str) -> None:
        """Give all connections up; `run` meets the server anew."""
        # First of all: whoever is failed here may try again at once.
        served, self._served = self._served, None
        if served is not None:
            self._went(reason)
        self._fail(f"server {self.address} was given up: {reason}")

    async def run(self) -> None:
        """Meet the server, and meet it again whenever it was lost, until cancelled."""
        pause = MEET_FIRST
        try:
            while True:
                try:
                    served = await self._meet()
                except (GatewayError, TimeoutError) as error:
                    self._note(error)
                    self._caller.distrust()
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, MEET_MOST)
                    continue
                pause, self._trouble = MEET_FIRST, ""
                self._doubt.clear()
                self._served = served
                self._upcall.came_up(served.info, served.instance)
                await self._until_lost()
        finally:
            self._served = None
            self._fail(f"this gateway has no more use for server {self.address}")
            await self._caller.close()

    # How it is met.

    async def _meet(self) -> Served:
        async with asyncio.timeout(MEET_TIMEOUT):
            served = await meet(
                self._caller,
                name=self._name,
                remote_name=self._remote_name,
                version=self._version,
            )
        if self._proven is not None and self._proven[0] == served.info.digest:
            served.sample = self._proven[1]
            await self._warm_up(served, served.sample)
            return served
        if self._deaths >= _DEADLY:
            return served
        why: GatewayError | None = None
        for inputs in made_up(served.info):
            try:
                await self._warm_up(served, inputs)
            except (ConnectFailed, BadAnswer, Busy):
                raise
            except (ConnectionLost, Stale):
                self._deaths += 1
                raise
            except GatewayError as error:
                why = error  # a value or size that it does not take, as it may be
            else:
                served.sample = inputs
                self._proven = (served.info.digest, inputs)
                return served
        log.info(
            "server %s takes no input that was made up, so only its readiness is probed: %s",
            self.address, why,
        )  # fmt: skip
        return served

    async def _warm_up(self, served: Served, inputs: tuple[Tensor, ...]) -> None:
        async with asyncio.timeout(FIRST_TIMEOUT):
            for _ in range(WARM_UP):
                await served.ask(InferRequest(self._name, inputs))

    def _note(self, error: Exception) -> None:
        trouble = str(error) or f"no answer within {MEET_TIMEOUT:g} s"
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("model %s is not served by %s: %s", self._name, self.address, trouble)

    # How it is lost.

    async def _until_lost(self) -> None:
        """Look into every doubt, until the server is lost."""
        pause = MEET_FIRST
        while (served := self._served) is not None:
            await self._doubt.wait()
            self._doubt.clear()
            if self._served is not served:
                return
            try:
                async with asyncio.timeout(MEET_TIMEOUT):
                    await self._check(served)
                pause = MEET_FIRST
            except (UpstreamError, TimeoutError) as error:
                # Neither well nor over: how often that may be is for the probes to judge.
                log.debug("server %s: %s", self.address, error)
                self._doubt.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, MEET_MOST)

    async def _check(self, served: Served) -> None:
        """Raise an UpstreamError where the server is in trouble, and lose it where it is over."""
        try:
            await served.check()
        except (NotReady, Refused, BadAnswer) as error:
            self._lose(served, str(error))
            raise

    def _lose(self, served: Served, reason: str) -> None:
        """Send nothing more to it; what it has, it may still answer."""
        if self._served is served:
            self._served = None
            self._went(reason)

    def _went(self, reason: str) -> None:
        self._doubt.set()
        self._upcall.went_down(reason)

    def _fail(self, reason: str) -> None:
        flights, self._flights = self._flights, {}
        self._caller.abort()
        for promise, task in flights.values():
            task.cancel()
            promise.fail(ConnectionLost(reason))

    # How it is asked.

    async def _carry(
        self, served: Served, request: InferRequest, promise: Promise[InferResponse]
    ) -> None:
        outcome: InferResponse | GatewayError = GatewayError("a call ended without an answer")
        try:
            outcome = await self._within(served, request)
        except Stale as error:
            # The server lives: a failure like any other, of which no request is the cause.
            outcome = UpstreamError(error.message)
        except GatewayError as error:
            outcome = error
        finally:
            self._flights.pop(promise.id, None)
            self._land(served, promise, outcome)

    def _land(
        self,
        served: Served,
        promise: Promise[InferResponse],
        outcome: InferResponse | GatewayError,
    ) -> None:
        if isinstance(outcome, GatewayError):
            if isinstance(outcome, NotReady | Refused):
                self._lose(served, str(outcome))
            elif isinstance(outcome, ConnectionLost) or type(outcome) is UpstreamError:
                self._doubt.set()
            promise.fail(outcome)
            return
        if served.odd_version and not served.looked:
            # Another version answers than its metadata had: the metadata may be old.
            served.looked = True
            self._doubt.set()
        promise.answer(outcome)

    async def _within(self, served: Served, request: InferRequest) -> InferResponse:
        if request.deadline == NEVER:
            return await served.ask(request)
        try:
            async with asyncio.timeout(request.deadline - perf_counter()):
                return await served.ask(request)
        except TimeoutError:
            message = f"the deadline passed while server {self.address} had the request"
            raise DeadlineExceeded(message) from None

    def _forget(self, promise: Promise[InferResponse]) -> None:
        """Nobody waits any more: close the connection, which is all that HTTP has for that."""
        entry = self._flights.pop(promise.id, None)
        if entry is not None:
            entry[1].cancel()
