# SPDX-License-Identifier: Apache-2.0
"""What every transport owes its endpoint, over real sockets and on both event loops."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.drive import drive
from gateway.errors import (
    BadAnswer,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    Draining,
    GatewayError,
    InvalidRequest,
    UpstreamError,
)
from gateway.upstream.link import Link
from gateway.wire.frames import Hello, Kind, frame
from gateway.wire.tensor import Tensor
from tests.support.scripted_worker import ScriptedWorker
from tests.support.upstream import MODEL, request, values

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.upstream.transport import Transport
    from gateway.wire.model import ModelInfo


class Upcalls:
    """What the transport told, in order."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self.info: ModelInfo | None = None
        self.is_up = False

    def came_up(self, info: ModelInfo, instance: str) -> None:
        """Keep it."""
        self.info, self.is_up = info, True
        self.told.put_nowait(f"up {instance}")

    def went_down(self, reason: str) -> None:
        """Keep it."""
        assert reason
        self.is_up = False
        self.told.put_nowait("down")

    def drains(self) -> None:
        """Keep it."""
        self.told.put_nowait("drains")


@asynccontextmanager
async def link(worker: ScriptedWorker) -> AsyncIterator[tuple[Transport, Upcalls]]:
    """A running link to *worker*, which need not have greeted it yet."""
    upcalls = Upcalls()
    transport = Link(worker.address, upcalls)
    running = asyncio.ensure_future(transport.run())
    try:
        yield transport, upcalls
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(name="make_worker", params=["unix", "tcp"])
def each_address(request: pytest.FixtureRequest, tmp_path: Path) -> partial[ScriptedWorker]:
    """Workers at every kind of address."""
    return partial(ScriptedWorker, tmp_path if request.param == "unix" else None)


@pytest.fixture(autouse=True)
def no_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The loop has no reason to complain: no error in a callback, no exception never retrieved."""
    yield
    gc.collect()
    complaints = [record for record in caplog.records if record.name == "asyncio"]
    assert [record for record in complaints if record.levelno >= logging.ERROR] == []


async def test_sends_a_request_and_brings_its_answer(make_worker: partial[ScriptedWorker]) -> None:
    """With the times that the worker tells, in the request's trace."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        assert await upcalls.told.get() == "up 1"
        assert upcalls.info == MODEL
        asked = request(1, 2, deadline=perf_counter() + 100)
        answer = transport.send(asked)
        received = await worker.requests.get()
        assert received.inputs[0].array().tolist() == [[1, 1], [2, 2]]
        assert 90e6 < received.head.budget < 100e6
        received.respond(queue=1000, compute=2000, rows=7)
        assert values(await answer) == [1, 2]
        assert (asked.trace.queue, asked.trace.infer, asked.trace.batch_rows) == (0.001, 0.002, 7)


async def test_answers_may_come_in_any_order(make_worker: partial[ScriptedWorker]) -> None:
    """Each goes to its own request."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answers = [transport.send(request(number)) for number in range(20)]
        received = [await worker.requests.get() for _ in answers]
        for each in reversed(received):
            each.respond()
        assert [values(answer) for answer in await asyncio.gather(*answers)] == [
            [number] for number in range(20)
        ]


async def test_large_tensors_pass_whole(make_worker: partial[ScriptedWorker]) -> None:
    """Both ways, beside small ones."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        sizes = [1, 400_000, 2, 100_000, 1_000_000]
        answers = [transport.send(request(*np.arange(size))) for size in sizes]
        for _ in sizes:
            (await worker.requests.get()).respond()
        for size, answer in zip(sizes, await asyncio.gather(*answers), strict=True):
            assert values(answer) == list(range(size))


async def test_says_at_once_that_it_is_not_connected(make_worker: partial[ScriptedWorker]) -> None:
    """Nothing was sent, so the request may go anywhere else."""
    async with make_worker(greets=False) as worker, link(worker) as (transport, _):
        await worker.accepted.get()
        answer = transport.send(request())
        assert answer.done()
        with pytest.raises(ConnectFailed, match="not connected"):
            await answer
        with pytest.raises(ConnectFailed):
            await transport.probe()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_request", InvalidRequest),
        ("deadline_exceeded", DeadlineExceeded),
        ("draining", Draining),
        ("internal", UpstreamError),
        ("never heard of", UpstreamError),
    ],
)
async def test_the_workers_errors_keep_their_meaning(
    make_worker: partial[ScriptedWorker], code: str, kind: type[GatewayError]
) -> None:
    """Only `invalid_request` blames the client."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answer = transport.send(request())
        (await worker.requests.get()).fail(code, "the reason")
        with pytest.raises(kind, match="the reason") as raised:
            await answer
        assert type(raised.value) is kind


async def test_a_worker_that_goes_away_fails_what_it_had(
    make_worker: partial[ScriptedWorker],
) -> None:
    """All that was in flight, each by an error of its own; then nothing can be sent."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answers = [transport.send(request()) for _ in range(3)]
        probe = asyncio.ensure_future(transport.probe())
        await worker.requests.get()
        worker.answers_probes = False
        worker.stop()
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert [type(result) for result in results] == [ConnectionLost] * 3
        assert len(set(map(id, results))) == 3
        assert await upcalls.told.get() == "down"
        with pytest.raises(ConnectFailed):
            await transport.send(request())
        await asyncio.gather(probe, return_exceptions=True)


async def test_nothing_can_be_lost_between_a_death_and_its_news(
    make_worker: partial[ScriptedWorker],
) -> None:
    """Whoever tries again at once finds out at once: no request waits on a dead connection."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answer = transport.send(request())
        await worker.requests.get()
        worker.stop()
        results: list[type] = []
        while not results or results[-1] is not ConnectFailed:
            try:
                await answer
            except UpstreamError as error:
                results.append(type(error))
            answer = transport.send(request())
        assert set(results[:-1]) == {ConnectionLost}
        await asyncio.gather(answer, return_exceptions=True)


async def test_connects_again_to_the_next_life(make_worker: partial[ScriptedWorker]) -> None:
    """At the same address, under another name."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        assert await upcalls.told.get() == "up 1"
        worker.stop()
        assert await upcalls.told.get() == "down"
        worker.instance = "2"
        await worker.listen()
        assert await upcalls.told.get() == "up 2"
        answer = transport.send(request(5))
        (await worker.requests.get()).respond()
        assert values(await answer) == [5]


async def test_a_cancelled_request_is_cancelled_at_the_worker(
    make_worker: partial[ScriptedWorker],
) -> None:
    """And its answer, should it come, disturbs nobody."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answer, other = transport.send(request(1)), transport.send(request(2))
        received, other_received = await worker.requests.get(), await worker.requests.get()
        answer.cancel()
        assert await worker.cancels.get() == received.id
        received.respond()
        received.fail("internal")
        other_received.respond()
        assert values(await other) == [2]


async def test_a_cancel_in_the_turn_of_its_answer_disturbs_nobody(
    make_worker: partial[ScriptedWorker],
) -> None:
    """The loop calls back a turn after the cancel: an answer may come in between."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answers = [transport.send(request(number)) for number in range(3)]
        received = [await worker.requests.get() for _ in answers]
        wire = transport._wire  # type: ignore[attr-defined]
        arrived = b"".join(each.result() for each in received)
        answers[1].cancel()
        wire.get_buffer(-1)[: len(arrived)] = arrived
        wire.buffer_updated(len(arrived))
        assert values(await answers[0]) == [0]
        assert values(await answers[2]) == [2]
        again = transport.send(request(3))
        (await worker.requests.get()).respond()
        assert values(await again) == [3]


async def test_a_probe_measures_a_round_trip(make_worker: partial[ScriptedWorker]) -> None:
    """An inference that the worker makes up itself."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        assert 0 < await transport.probe() < 10


async def test_a_probe_fails_with_the_connection(make_worker: partial[ScriptedWorker]) -> None:
    """It is an upstream error like any other."""
    async with (
        make_worker(answers_probes=False) as worker,
        link(worker) as (transport, upcalls),
    ):
        await upcalls.told.get()
        probe = asyncio.ensure_future(transport.probe())
        await worker.pings.get()
        worker.stop()
        with pytest.raises(ConnectionLost):
            await probe


async def test_what_is_tried_again_on_the_spot_does_not_meet_the_dead_connection(
    make_worker: partial[ScriptedWorker],
) -> None:
    """Whoever hears of the end goes on at once; the endpoint is known to be down by then."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        ends: list[BaseException | None] = []

        async def twice() -> None:
            with pytest.raises(ConnectionLost):
                await transport.send(request())
            assert not upcalls.is_up
            await transport.send(request())

        drive(twice(), lambda _, error: ends.append(error))
        transport.drop("scripted")
        assert [type(error) for error in ends] == [ConnectFailed]


async def test_drop_gives_the_connection_up_and_makes_a_new_one(
    make_worker: partial[ScriptedWorker],
) -> None:
    """What a frozen worker holds is lost at once, not when it wakes up."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answer = transport.send(request())
        await worker.requests.get()
        transport.drop("frozen")
        assert answer.done()
        with pytest.raises(ConnectionLost, match="frozen"):
            await answer
        with pytest.raises(ConnectFailed):
            await transport.send(request())
        assert await upcalls.told.get() == "down"
        assert await upcalls.told.get() == "up 1"
        transport.drop("again")
        transport.drop("twice")
        assert await upcalls.told.get() == "down"


async def test_a_drain_is_passed_on(make_worker: partial[ScriptedWorker]) -> None:
    """What is in flight is still answered."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answer = transport.send(request(4))
        received = await worker.requests.get()
        received.connection.send(frame(Kind.DRAIN, 0))
        assert await upcalls.told.get() == "drains"
        received.respond()
        assert values(await answer) == [4]


async def test_a_worker_that_drains_while_it_greets_is_draining(
    make_worker: partial[ScriptedWorker],
) -> None:
    """Both arrive together; the later word counts."""
    async with make_worker(greets=False) as worker, link(worker) as (_, upcalls):
        connection = await worker.accepted.get()
        connection.send(frame(Kind.HELLO, 0, Hello("1", 1, MODEL)) + frame(Kind.DRAIN, 0))
        assert await upcalls.told.get() == "up 1"
        assert await upcalls.told.get() == "drains"


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n", frame(Kind.PING, 1),
        frame(Kind.HELLO, 0, Hello("1", 1, MODEL)), frame(Kind.RESULT, 1),
    ],
    ids=["another protocol", "wrong direction", "second hello", "no head"],
)  # fmt: skip
async def test_a_worker_that_talks_nonsense_loses_the_connection(
    make_worker: partial[ScriptedWorker], garbage: bytes
) -> None:
    """What it had fails as lost, and a new connection is made."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answer = transport.send(request())
        (await worker.requests.get()).connection.send(garbage)
        with pytest.raises(UpstreamError):
            await answer
        assert await upcalls.told.get() == "down"
        assert await upcalls.told.get() == "up 1"


async def test_an_answer_that_contradicts_itself_is_a_bad_one(
    make_worker: partial[ScriptedWorker],
) -> None:
    """The request gets BadAnswer; the stream is not trusted any more."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answer = transport.send(request())
        received = await worker.requests.get()
        received.respond(Tensor("y", "FP32", (3,), b"\0" * 8))
        with pytest.raises(BadAnswer, match="'y'"):
            await answer
        assert await upcalls.told.get() == "down"


async def test_cancelled_it_closes_its_connection(make_worker: partial[ScriptedWorker]) -> None:
    """The worker did not go away, so nobody is told that it did; what is in flight ends."""
    async with make_worker() as worker:
        async with link(worker) as (transport, upcalls):
            await upcalls.told.get()
            answer = transport.send(request())
            await worker.requests.get()
        with pytest.raises(ConnectionLost):
            await answer
        assert upcalls.told.empty()
        await worker.left.wait()


async def test_tries_again_until_a_worker_is_there(make_worker: partial[ScriptedWorker]) -> None:
    """A worker that starts later than its gateway is found."""
    async with make_worker() as worker:
        worker.stop()
        async with link(worker) as (_, upcalls):
            await asyncio.sleep(0)
            await worker.listen()
            assert await upcalls.told.get() == "up 1"
