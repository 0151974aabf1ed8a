# SPDX-License-Identifier: Apache-2.0
"""Ask: the two ways of a probe, directly to an endpoint and through the data port."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from gateway.errors import GatewayError, UpstreamError
from gateway.upstream.caller import Caller
from gateway.wire.message import InferRequest
from gateway.wire.oip_question import encode_question
from gateway.wire.oip_reply import decode_reply, failure_text
from gateway.wire.probe import HEADER, PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from gateway.upstream.transport import Transport, Upcall
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Tensor

# Seconds until an endpoint must have said what it serves, and until an answer must be there.
CONNECT: Final = 10.0
ANSWER: Final = 30.0
_LENGTH: Final = "Inference-Header-Content-Length"
# "No" for now: the model or the process has no capacity to spare.
_BUSY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class NoAnswer(Exception):
    """A path does not answer; the message says why."""


class Crowded(NoAnswer):
    """There is no capacity to spare for a probe now."""


class Answered(NamedTuple):
    """The outputs for some rows, the endpoint that made them, and whether they were cached."""

    outputs: tuple[Tensor, ...]
    endpoint: str = ""
    cached: bool = False


class Direct:
    """The endpoint *name* of *model*, asked past all gateways; an ``async with`` connects to it.

    *transport* makes the way to it. Entering raises NoAnswer where nobody is there.
    """

    def __init__(self, model: str, name: str, transport: Callable[[Upcall], Transport]) -> None:
        self.name = name
        self.info: ModelInfo
        self._model = model
        self._up: asyncio.Future[ModelInfo] = asyncio.get_running_loop().create_future()
        self._transport = transport(self)
        self._running: asyncio.Task[None]

    def __repr__(self) -> str:
        return f"<Direct {self.name}>"

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._transport.run())
        try:
            async with asyncio.timeout(CONNECT):
                self.info = await asyncio.shield(self._up)
        except TimeoutError:
            await self._end()
            raise NoAnswer(f"it did not say what it serves within {CONNECT:g} s") from None
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    async def ask(self, inputs: tuple[Tensor, ...]) -> Answered:
        """What it makes of *inputs*; raises NoAnswer."""
        request = InferRequest(
            self._model, inputs, deadline=perf_counter() + ANSWER, priority=PRIORITY
        )
        answer = self._transport.send(request)
        try:
            async with asyncio.timeout(ANSWER):
                return Answered((await answer).outputs, self.name)
        except TimeoutError:
            answer.cancel()
            raise NoAnswer(f"no answer within {ANSWER:g} s") from None
        except UpstreamError as error:
            raise NoAnswer(str(error)) from None
        except GatewayError as error:
            raise NoAnswer(f"it does not take these rows: {error}") from None

    # What the transport tells.

    def came_up(self, info: ModelInfo, instance: str) -> None:  # noqa: ARG002 - see Upcall
        """It has said what it serves."""
        if not self._up.done():
            self._up.set_result(info)

    def went_down(self, reason: str) -> None:
        """Whoever waits for an answer is told by the transport."""

    def drains(self) -> None:
        """It may still answer; where it does not, that is told."""


class Through:
    """The data port at *http*, asked for *model*; an ``async with`` owns the connection.

    *token* proves a probe. *cached*: the cache may answer; otherwise it neither does nor learns.
    *info* is the model as clients see it.
    """

    def __init__(self, model: str, http: str, *, token: str, cached: bool, info: ModelInfo) -> None:
        self._model = model
        self._specs = {spec.name: spec for spec in info.outputs}
        headers = {HEADER: token}
        if not cached:
            headers["Cache-Control"] = "no-store"
        self._caller = Caller(f"http://{http}", headers=headers)
        self._count = 0

    def __repr__(self) -> str:
        return f"<Through {self._caller!r}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._caller.close()

    async def ask(self, inputs: tuple[Tensor, ...]) -> Answered:
        """What clients get for *inputs*; raises NoAnswer, and Crowded where that may change."""
        self._count += 1
        id_ = f"probe-{time_ns():x}-{self._count}"
        request = InferRequest(self._model, inputs)
        try:
            question = encode_question(request, id_=id_, binary=True, parameters={})
            async with asyncio.timeout(ANSWER):
                answered = await self._caller.call(
                    "POST",
                    f"/v2/models/{self._model}/infer",
                    parts=question.parts,
                    headers={_LENGTH: str(question.json_length)},
                )
        except TimeoutError:
            raise NoAnswer(f"no answer within {ANSWER:g} s") from None
        except GatewayError as error:
            raise NoAnswer(str(error)) from None
        if answered.status != HTTPStatus.OK:
            said = failure_text(answered.body) or "nothing more"
            kind = Crowded if answered.status in _BUSY else NoAnswer
            raise kind(f"the data port says {answered.status}: {said}")
        headers = answered.headers
        try:
            reply = decode_reply(answered.body, headers.get(_LENGTH), self._specs)
        except GatewayError as error:
            raise NoAnswer(str(error)) from None
        status = headers.get("Cache-Status", "")
        return Answered(reply.outputs, headers.get("Infergate-Backend", ""), "; hit" in status)
