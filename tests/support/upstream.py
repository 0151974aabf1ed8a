# SPDX-License-Identifier: Apache-2.0
"""Scripted workers: a test receives each request that a stack sends, and says how it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.errors import DeadlineExceeded
from gateway.stages.balance import Balance
from gateway.stages.batch import Batch
from gateway.stages.retry import Retry
from gateway.stages.retry_budget import RetryBudget
from gateway.telemetry import Telemetry
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Ejection
from gateway.upstream.policy import LeastOutstanding
from gateway.upstream.pool import Pool
from gateway.wire.message import NEVER, InferRequest, InferResponse, RequestedOutput
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.upstream.policy import Policy
    from gateway.upstream.transport import Upcall
    from gateway.wire.message import Service

MODEL = ModelInfo(
    "m", "1", "onnxruntime", "0" * 64,
    (TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1, 2)),), batched=True,
)  # fmt: skip


def request(
    *values: float,
    deadline: float = NEVER,
    outputs: tuple[RequestedOutput, ...] = (),
    parameters: dict[str, Any] | None = None,
) -> InferRequest:
    """A request with one row ``[value, value]`` for each of *values*, 1.0 without any."""
    rows = np.repeat(np.array(values or (1.0,), np.float32), 2).reshape(-1, 2)
    return InferRequest(
        "m", (Tensor.of("x", rows),), deadline=deadline, outputs=outputs, parameters=parameters
    )


def values(response: InferResponse) -> list[float]:
    """What `echo` answered: the first number of each row."""
    return [float(value) for value in response.outputs[0].array()[:, 0]]


def echo(asked: InferRequest) -> InferResponse:
    """The input as the output."""
    given = asked.inputs[0]
    return InferResponse((Tensor("y", given.datatype, given.shape, given.data),))


async def settle() -> None:
    """Let the loop turn until everything that can go on without a timer has done so."""
    for _ in range(20):
        await asyncio.sleep(0)


class Clock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The present instant in seconds."""
        return self.now


class Sent:
    """A request that reached a peer; exactly one of *respond* and *fail* ends it."""

    def __init__(self, asked: InferRequest) -> None:
        self.request = asked
        self.answer: asyncio.Future[InferResponse] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<Sent {self.request!r} {'done' if self.answer.done() else 'waits'}>"

    @property
    def cancelled(self) -> bool:
        """Nobody waits for it any more."""
        return self.answer.cancelled()

    def respond(self, response: InferResponse | None = None) -> None:
        """Answer, by default with an echo."""
        self.answer.set_result(echo(self.request) if response is None else response)

    def fail(self, error: BaseException) -> None:
        """Raise *error* where the answer is awaited."""
        self.answer.set_exception(error)


class ScriptedPeer:
    """A transport without a network."""

    def __init__(self) -> None:
        self.address = "scripted"
        self.upcall: Upcall
        self.sent: list[Sent] = []
        self.probes: deque[float | BaseException] = deque()
        self.dropped: list[str] = []
        self._unseen: deque[Sent] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<ScriptedPeer {len(self.sent)} sent>"

    def attach(self, upcall: Upcall) -> ScriptedPeer:
        """The transport factory that an endpoint takes."""
        self.upcall = upcall
        return self

    def send(self, request: InferRequest) -> asyncio.Future[InferResponse]:
        """Keep *request* until the test takes it."""
        sent = Sent(request)
        self.sent.append(sent)
        self._unseen.append(sent)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        return sent.answer

    async def request(self) -> Sent:
        """The next request that arrives, or has arrived and not been taken."""
        while not self._unseen:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._unseen.popleft()

    async def probe(self) -> float:
        """The next scripted result of a probe; waits for ever when there is none."""
        if not self.probes:
            await asyncio.get_running_loop().create_future()
        result = self.probes.popleft()
        if isinstance(result, BaseException):
            raise result
        return result

    def drop(self, reason: str) -> None:
        """Note that the endpoint gave the connection up, and go down."""
        self.dropped.append(reason)
        self.goes_down()

    async def run(self) -> None:
        """Do nothing until cancelled."""
        await asyncio.get_running_loop().create_future()

    def comes_up(self, instance: str = "1", info: ModelInfo = MODEL) -> None:
        """Say hello."""
        self.upcall.came_up(info, instance)

    def goes_down(self) -> None:
        """Lose the connection; what is in flight is for the test to fail."""
        self.upcall.went_down("scripted")

    def dies(self, error: Callable[[], BaseException]) -> None:
        """Fail all that is in flight with an *error* each, then go down."""
        for sent in self.sent:
            if not sent.answer.done():
                sent.fail(error())
        self.goes_down()


class Fleet:
    """*size* scripted peers behind Batch → Retry → Balance; all are up unless told otherwise."""

    def __init__(
        self,
        size: int = 1,
        *,
        up: bool = True,
        cap: int | None = 1,
        attempts: int = 2,
        max_rows: int = 64,
        queue_rows: int = 4096,
        queue_bytes: int = 1 << 20,
        weights: Sequence[float] = (),
        consecutive: int = 5,
        budget: RetryBudget | None = None,
        info: ModelInfo = MODEL,
        policy: Policy | None = None,
        seed: int = 1,
    ) -> None:
        self.clock = Clock()
        self.slept: list[float] = []
        self.telemetry = Telemetry(models=["m"])
        self.pool = Pool(
            "m", policy=policy or LeastOutstanding(rng=Random(seed)), telemetry=self.telemetry
        )
        self.peers = [ScriptedPeer() for _ in range(size)]
        self.pool.add(
            Endpoint(
                f"e{index}",
                peer.attach,
                self.pool,
                ejection=Ejection(clock=self.clock, consecutive=consecutive, rng=Random(seed)),
                cap=cap,
                weight=weights[index] if weights else 1.0,
            )
            for index, peer in enumerate(self.peers)
        )
        budget = budget or RetryBudget()
        self.balance = Balance(self.pool)
        self.retry = Retry(
            self.balance,
            model="m",
            telemetry=self.telemetry,
            attempts=attempts,
            budget=budget,
            rng=Random(seed),
            sleep=self._sleep,
        )
        self.batch = Batch(
            self.retry,
            model="m",
            pool=self.pool,
            telemetry=self.telemetry,
            max_rows=max_rows,
            queue_rows=queue_rows,
            queue_bytes=queue_bytes,
            budget=budget,
        )
        if up:
            for peer in self.peers:
                peer.comes_up(info=info)

    def __repr__(self) -> str:
        return f"<Fleet {self.pool!r} {self.batch!r}>"

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def ask(
        self, asked: InferRequest | None = None, *, of: Service | None = None
    ) -> asyncio.Task[InferResponse]:
        """Send a request through the stack (or *of*, a part of it), as a task of its own."""
        service = of or self.batch

        async def answer() -> InferResponse:
            return await service(asked or request())

        return asyncio.get_running_loop().create_task(answer())

    @property
    def sent(self) -> list[Sent]:
        """All that reached any peer, peer by peer."""
        return [sent for peer in self.peers for sent in peer.sent]

    @property
    def waiting(self) -> list[Sent]:
        """What the peers have not answered."""
        return [sent for sent in self.sent if not sent.answer.done()]

    def assert_idle(self) -> None:
        """Nothing is pending, queued or in flight anywhere."""
        assert [endpoint.pending for endpoint in self.pool.endpoints] == [0] * len(self.peers)
        assert [endpoint.pending_rows for endpoint in self.pool.endpoints] == [0] * len(self.peers)
        assert self.batch.queued_rows == 0
        assert repr(self.batch).startswith("<Batch <Lines 0 entries, 0 rows, 0 bytes> flights=0 ")


def soon(seconds: float = 0.002) -> float:
    """A deadline that passes while a test waits for it."""
    return perf_counter() + seconds


async def too_late(fleet: Fleet, where: str) -> None:
    """Ask *fleet* until a deadline has passed *where*, as the error says.

    On a busy machine a short one is over sooner than the request gets there.
    """
    patience = 0.002
    while True:
        try:
            await fleet.ask(request(deadline=soon(patience)))
        except DeadlineExceeded as error:
            if where in str(error):
                return
        else:
            raise AssertionError("it was answered")
        patience *= 4


async def gather_behind(
    fleet: Fleet, asked: Sequence[InferRequest]
) -> tuple[list[asyncio.Task[InferResponse]], Sent]:
    """Send *asked* while every slot is busy, free the slots: the tasks, and the batch they make."""
    blockers = [fleet.ask() for _ in fleet.peers]
    await settle()
    tasks = [fleet.ask(each) for each in asked]
    await settle()
    for sent in fleet.waiting:
        sent.respond()
    await asyncio.gather(*blockers)
    await settle()
    (batch,) = fleet.waiting
    return tasks, batch
