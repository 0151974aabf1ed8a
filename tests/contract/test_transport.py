# SPDX-License-Identifier: Apache-2.0
"""What every transport owes its endpoint, over real sockets and on both event loops."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest

from gateway.drive import drive
from gateway.errors import (
    BadAnswer,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    UpstreamError,
)
from gateway.wire.tensor import Tensor
from tests.support.dialects import MLSERVER, TRITON
from tests.support.scripted_server import ScriptedServer
from tests.support.scripted_worker import ScriptedWorker
from tests.support.transports import link
from tests.support.upstream import MODEL, request, values

if TYPE_CHECKING:
    from pathlib import Path

MakePeer: TypeAlias = "Callable[..., ScriptedWorker | ScriptedServer]"


@pytest.fixture(name="make_worker", params=["unix", "tcp", "http binary", "http JSON"])
def each_kind(request: pytest.FixtureRequest, tmp_path: Path) -> MakePeer:
    """Peers of every kind, at every kind of address."""
    kinds: dict[str, MakePeer] = {
        "unix": partial(ScriptedWorker, tmp_path),
        "tcp": partial(ScriptedWorker, None),
        "http binary": partial(ScriptedServer, TRITON),
        "http JSON": partial(ScriptedServer, MLSERVER),
    }
    return kinds[request.param]


@pytest.fixture(autouse=True)
def no_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The loop has no reason to complain: no error in a callback, no exception never retrieved."""
    yield
    gc.collect()
    complaints = [record for record in caplog.records if record.name == "asyncio"]
    assert [record for record in complaints if record.levelno >= logging.ERROR] == []


async def test_sends_a_request_and_brings_its_answer(make_worker: MakePeer) -> None:
    """With the time that it took, in the request's trace; its deadline travels with it."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        assert await upcalls.told.get() == "up"
        assert upcalls.info is not None
        assert upcalls.info.name == "m"
        assert (upcalls.info.version, upcalls.info.batched) == ("1", True)
        assert (upcalls.info.inputs, upcalls.info.outputs) == (MODEL.inputs, MODEL.outputs)
        asked = request(1, 2, deadline=perf_counter() + 100)
        answer = transport.send(asked)
        received = await worker.requests.get()
        assert received.inputs[0].array().tolist() == [[1, 1], [2, 2]]
        assert 90e6 < received.budget <= 100e6
        received.respond()
        assert values(await answer) == [1, 2]
        assert asked.trace.batch_rows > 0


async def test_answers_may_come_in_any_order(make_worker: MakePeer) -> None:
    """Each goes to its own request."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answers = [transport.send(request(number)) for number in range(1, 21)]
        received = [await worker.requests.get() for _ in answers]
        for each in reversed(received):
            each.respond()
        assert [values(answer) for answer in await asyncio.gather(*answers)] == [
            [number] for number in range(1, 21)
        ]


async def test_large_tensors_pass_whole(make_worker: MakePeer) -> None:
    """Both ways, beside small ones."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        sizes = [2, 200_000, 3, 100_000, 400_000]
        answers = [transport.send(request(*np.arange(size))) for size in sizes]
        for _ in sizes:
            (await worker.requests.get()).respond()
        for size, answer in zip(sizes, await asyncio.gather(*answers), strict=True):
            assert values(answer) == list(range(size))


async def test_says_at_once_that_it_is_not_connected(make_worker: MakePeer) -> None:
    """Nothing was sent, so the request may go anywhere else."""
    async with make_worker(greets=False) as worker, link(worker) as (transport, _):
        await worker.accepted.get()
        answer = transport.send(request())
        assert answer.done()
        with pytest.raises(ConnectFailed, match=r"is not (connected|ready)"):
            await answer
        with pytest.raises(ConnectFailed):
            await transport.probe()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_request", InvalidRequest),
        ("deadline_exceeded", DeadlineExceeded),
        ("internal", UpstreamError),
        ("never heard of", UpstreamError),
    ],
)
async def test_the_workers_errors_keep_their_meaning(
    make_worker: MakePeer, code: str, kind: type[GatewayError]
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
    make_worker: MakePeer,
) -> None:
    """And tells its endpoint; from then on nothing can be sent."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answers = [transport.send(request()) for _ in range(3)]
        probe = asyncio.ensure_future(transport.probe())
        for _ in answers:
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
    make_worker: MakePeer,
) -> None:
    """Whoever tries again at once finds out at once: no request waits on a dead connection."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answer = transport.send(request())
        await worker.requests.get()
        worker.stop()
        results: list[type] = []
        while not results or not issubclass(results[-1], ConnectFailed):
            try:
                await answer
            except UpstreamError as error:
                results.append(type(error))
            answer = transport.send(request())
        assert set(results[:-1]) == {ConnectionLost}
        await asyncio.gather(answer, return_exceptions=True)


async def test_connects_again_to_the_next_life(make_worker: MakePeer) -> None:
    """At the same address, under another name."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        assert await upcalls.told.get() == "up"
        worker.stop()
        # Where no connection would tell of its end, a probe does.
        await asyncio.gather(transport.probe(), return_exceptions=True)
        assert await upcalls.told.get() == "down"
        worker.instance = "2"
        await worker.listen()
        assert await upcalls.told.get() == "up"
        assert len(set(upcalls.instances)) == 2
        answer = transport.send(request(5))
        (await worker.requests.get()).respond()
        assert values(await answer) == [5]


async def test_a_cancelled_request_is_cancelled_at_the_worker(
    make_worker: MakePeer,
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


async def test_a_probe_measures_a_round_trip(make_worker: MakePeer) -> None:
    """An inference that the worker makes up itself."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        assert 0 < await transport.probe() < 10


async def test_a_probe_fails_with_the_connection(make_worker: MakePeer) -> None:
    """It is an upstream error like any other."""
    async with (
        make_worker() as worker,
        link(worker) as (transport, upcalls),
    ):
        await upcalls.told.get()
        worker.answers_probes = False
        while not worker.pings.empty():
            worker.pings.get_nowait()
        probe = asyncio.ensure_future(transport.probe())
        await worker.pings.get()
        worker.stop()
        with pytest.raises(ConnectionLost):
            await probe


async def test_what_is_tried_again_on_the_spot_does_not_meet_the_dead_connection(
    make_worker: MakePeer,
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
    make_worker: MakePeer,
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
        assert await upcalls.told.get() == "up"
        transport.drop("again")
        transport.drop("twice")
        assert await upcalls.told.get() == "down"


async def test_cancelled_it_closes_its_connection(make_worker: MakePeer) -> None:
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


async def test_tries_again_until_a_worker_is_there(make_worker: MakePeer) -> None:
    """A worker that starts later than its gateway is found."""
    async with make_worker() as worker:
        worker.stop()
        async with link(worker) as (_, upcalls):
            await asyncio.sleep(0)
            await worker.listen()
            assert await upcalls.told.get() == "up"


async def test_an_answer_that_contradicts_itself_is_a_bad_one(make_worker: MakePeer) -> None:
    """It reaches nobody, and the next one may be good."""
    async with make_worker() as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answer = transport.send(request())
        received = await worker.requests.get()
        received.respond(Tensor("y", "FP32", (3,), b"\0" * 8))
        with pytest.raises(BadAnswer, match="'y'"):
            await answer
