# SPDX-License-Identifier: Apache-2.0
"""Cancel everything at every await: afterwards nothing is pending, queued, held or running."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from gateway.access_log import AccessLog
from gateway.drive import drive
from gateway.errors import BadAnswer, ConnectionLost, Draining, InvalidRequest, UpstreamError
from gateway.exchange import Answer
from gateway.stages.gate import Gate
from gateway.stages.infer import OFF_LOOP, Infer
from gateway.stages.observe import Observe
from gateway.telemetry import Telemetry
from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.tensor import Tensor
from tests.support.exchanges import make_exchange
from tests.support.upstream import MODEL, Fleet, request, settle

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.wire.model import ModelInfo

# More turns of the loop than any of the stories takes.
TURNS = 60


def lost() -> ConnectionLost:
    """A worker's death."""
    return ConnectionLost("scripted")


async def alone(fleet: Fleet) -> None:
    """A request is answered."""
    await turn(2)
    fleet.waiting[0].respond()


async def late_worker(fleet: Fleet) -> None:
    """No worker is there, then one comes."""
    fleet.peers[0].goes_down()
    await turn(4)
    fleet.peers[0].comes_up("2")
    await turn(4)
    respond_all(fleet)


async def failing_worker(fleet: Fleet) -> None:
    """The first attempt fails, a back-off, a second attempt."""
    await turn(2)
    fail_all(fleet, UpstreamError("scripted"))
    await turn(6)
    respond_all(fleet)


async def dying_workers(fleet: Fleet) -> None:
    """A worker dies, the members are sent one by one, another dies."""
    await turn(3)
    for peer in fleet.peers:
        if peer.sent and not peer.sent[-1].answer.done():
            peer.dies(lost)
            break
    await turn(5)
    for peer in fleet.peers:
        if peer.sent and not peer.sent[-1].answer.done():
            peer.dies(lost)
            break
    await turn(5)
    for peer in fleet.peers:
        peer.comes_up("3")
    for _ in range(8):
        await turn(2)
        respond_all(fleet)


async def bad_member(fleet: Fleet) -> None:
    """A batch is refused, and its members are sent one by one."""
    await turn(3)
    fail_all(fleet, InvalidRequest("scripted"))
    for _ in range(8):
        await turn(2)
        respond_all(fleet)


async def crooked_answer(fleet: Fleet) -> None:
    """A batch gets an answer that does not line up."""
    await turn(3)
    for sent in fleet.waiting:
        sent.respond(InferResponse((Tensor("y", "FP32", (), b"\0" * 4),)))
    for _ in range(8):
        await turn(2)
        fail_all(fleet, BadAnswer("scripted"))


async def draining_worker(fleet: Fleet) -> None:
    """Workers refuse, and the requests go back to the queue."""
    await turn(3)
    fail_all(fleet, Draining("scripted"))
    await turn(5)
    for peer in fleet.peers:
        peer.comes_up("2")
    for _ in range(5):
        await turn(2)
        respond_all(fleet)


async def turn(count: int) -> None:
    """Some turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


def respond_all(fleet: Fleet) -> None:
    """Answer whatever waits."""
    for sent in fleet.waiting:
        sent.respond()


def fail_all(fleet: Fleet, error: Exception) -> None:
    """Fail whatever waits."""
    for sent in fleet.waiting:
        sent.fail(type(error)(*error.args))


STORIES = [
    alone,
    late_worker,
    failing_worker,
    dying_workers,
    bad_member,
    crooked_answer,
    draining_worker,
]

Story = Callable[[Fleet], Coroutine[Any, Any, None]]
Cancel = Callable[[], object]


def as_tasks(fleet: Fleet, asked: list[InferRequest]) -> list[Cancel]:
    """Requests as tasks; what cancels each."""
    return [fleet.ask(each).cancel for each in asked]


def driven(fleet: Fleet, asked: list[InferRequest]) -> list[Cancel]:
    """Requests in place; what cancels each."""
    return [drive(fleet.batch(each), lambda *_: None).cancel for each in asked]


@pytest.mark.filterwarnings("ignore:.*was never retrieved")
@pytest.mark.parametrize("start", [as_tasks, driven])
@pytest.mark.parametrize("who", ["one", "all"])
@pytest.mark.parametrize("story", STORIES)
async def test_nothing_is_left_of_a_cancelled_request(
    story: Story, who: str, start: Callable[[Fleet, list[InferRequest]], list[Cancel]]
) -> None:
    """One or all of three clients leave, at each turn of each story."""
    for at in range(TURNS):
        fleet = Fleet(2, attempts=3)
        cancels = start(fleet, [request(1), request(2), request(3)])
        telling = asyncio.ensure_future(story(fleet))
        await turn(at)
        ended = telling.done()
        for cancel in cancels[: 1 if who == "one" else 3]:
            cancel()
        await asyncio.gather(telling, return_exceptions=True)
        await finish(fleet)
        fleet.assert_idle()
        assert fleet.waiting == []
        assert not fleet.retry._suspect.locked()
        if ended:
            return
    pytest.fail("the story has more turns than are tried")


async def finish(fleet: Fleet) -> None:
    """Bring everybody up and answer what still comes."""
    for peer in fleet.peers:
        peer.comes_up("9")
    await settle()
    while fleet.waiting or fleet.batch.queued_rows:
        respond_all(fleet)
        await settle()
    await settle()


async def test_a_cancelled_attempt_timeout_leaves_no_timer() -> None:
    """The attempt's timer goes with the attempt, at whatever turn."""
    for at in range(6):
        fleet = Fleet(1)
        fleet.pool.endpoints[0]._attempt_timeout = 0.01
        task = fleet.ask()
        await turn(at)
        task.cancel()
        await settle()
        fleet.assert_idle()
        assert fleet.waiting == []


async def test_a_cancelled_exchange_leaves_the_gate() -> None:
    """Whoever is cancelled inside is outside afterwards."""
    for at in range(6):
        gate = Gate()

        async def inner(exchange: Exchange) -> Answer:
            await turn(3)
            return Answer(200, b"", [])

        telemetry = Telemetry(models=["digits"])
        log = AccessLog(telemetry=telemetry, errors=False)
        observe = Observe(inner, gate=gate, telemetry=telemetry, access_log=log, models=["digits"])
        task = asyncio.ensure_future(observe(make_exchange()))
        await turn(at)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert gate.inside == 0
        await gate.wait_empty()


class Threaded:
    """A codec whose work is long enough for a thread."""

    protocol = spelling = "v2"

    def decode(self, exchange: Exchange, model: ModelInfo) -> InferRequest:
        """One row."""
        return request()

    def encode(
        self, exchange: Exchange, request: InferRequest, response: InferResponse, model: ModelInfo
    ) -> Answer:
        """Nothing."""
        return Answer(200, b"", [])

    def refuse(self, exchange: Exchange, error: Exception) -> Answer:
        """Not part of this story."""
        raise NotImplementedError


class Model:
    """A model whose stack is a fleet."""

    info = MODEL
    questions = None
    placed_by = ""
    repeats = None
    slices = None
    labelled = False

    def __init__(self, fleet: Fleet) -> None:
        self.service = fleet.batch
        self.turn_away = fleet.batch.turn_away


async def test_a_cancelled_exchange_leaves_no_request_behind() -> None:
    """Decoding and encoding in a thread included: what comes of them is thrown away."""
    large = InferResponse((Tensor("y", "UINT8", (1, OFF_LOOP + 1), bytes(OFF_LOOP + 1)),))
    with ThreadPoolExecutor(1) as executor:
        for at in range(12):
            fleet = Fleet(1)
            infer = Infer({"digits": Model(fleet)}, executor=executor)
            exchange = make_exchange(body=bytes(OFF_LOOP + 1))
            exchange.codec = Threaded()
            task = asyncio.ensure_future(infer(exchange))
            for _ in range(at):
                await settle()
                for sent in fleet.waiting:
                    sent.respond(large)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await settle()
            fleet.assert_idle()
            assert fleet.waiting == []


async def test_a_cancelled_pool_leaves_no_task() -> None:
    """Connections and watches end with it, at whatever turn."""
    for at in range(6):
        fleet = Fleet(3)
        before = asyncio.all_tasks()
        running = asyncio.ensure_future(fleet.pool.run(interval=0.0001, timeout=1, jitter=0))
        await turn(at)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert asyncio.all_tasks() == before
