# SPDX-License-Identifier: Apache-2.0
"""Clients that leave at each point of a request's life, by both ways into the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.faulty import FaultyWorker, answer, numbers_in
from tests.support.http import Client, chunked, connect, request
from tests.support.scenarios import one_worker
from tests.support.scripted_worker import Received
from tests.support.trial import INFER, Trial, question, until

LARGE = 40_000


def plain(number: int, rows: int = 1) -> bytes:
    """A request that the fast lane answers."""
    return request("POST", INFER, question(number, rows))


def handed_over(number: int, rows: int = 1) -> bytes:
    """One that the second server answers."""
    head = request("POST", INFER, headers={"Transfer-Encoding": "chunked"})
    return head + chunked(question(number, rows))


@pytest.fixture(params=[plain, handed_over])
def asks(request: pytest.FixtureRequest) -> Callable[..., bytes]:
    """Each way of asking."""
    way: Callable[..., bytes] = request.param
    return way


@asynccontextmanager
async def leaving(under: Trial, data: bytes) -> AsyncIterator[Client]:
    """A client that has sent *data* and is gone at the end."""
    async with connect(under.port) as client:
        await client.send(data)
        yield client


async def hold_one(under: Trial, worker: FaultyWorker) -> tuple[asyncio.Task[object], Received]:
    """A request that the worker holds, so that others must wait."""
    worker.manner = worker.hold
    task: asyncio.Task[object] = asyncio.ensure_future(under.ask())
    return task, await worker.requests.get()


@pytest.mark.parametrize("rows", [1, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999], ids=["head", "half", "nearly all"])
async def test_while_sending(
    tmp_path: Path, asks: Callable[..., bytes], share: float, rows: int
) -> None:
    """Half a request is none: no worker hears of it, and no memory is kept for the rest."""
    async with one_worker(tmp_path) as (under, worker):
        data = asks(under.number(), rows)
        cut = max(20, int(len(data) * share))
        async with leaving(under, data[:cut]):
            assert (await under.ask()).code == "ok"
        under.left_early += 1
        assert (await under.ask()).code == "ok"
        assert worker.done["answer"] == 3


async def test_while_queued(tmp_path: Path, asks: Callable[..., bytes]) -> None:
    """The entry leaves the queue at once, and those behind it move up."""
    async with one_worker(tmp_path, cap=1) as (under, worker):
        blocker, held = await hold_one(under, worker)
        gone = under.number()
        async with leaving(under, asks(gone, 5)):
            await until(lambda: under.queued == 5)
            behind = under.start(rows=2)
            await until(lambda: under.queued == 7)
        await until(lambda: under.queued == 2)
        under.left += 1
        assert under.metric("client_disconnects_total", phase="waiting") == 1
        worker.manner = answer
        answer(held)
        await blocker
        assert (await behind).code == "ok"
        assert worker.sent[gone] == 0


async def test_while_alone_at_a_worker(tmp_path: Path, asks: Callable[..., bytes]) -> None:
    """The worker is told, and its slot is free for the next."""
    async with one_worker(tmp_path, cap=1) as (under, worker):
        worker.manner = worker.hold
        async with leaving(under, asks(under.number())):
            received = await worker.requests.get()
        assert await worker.cancels.get() == received.id
        under.left += 1
        worker.manner = answer
        assert (await under.ask()).code == "ok"
        assert under.metric("client_disconnects_total", phase="upstream") == 1
        assert under.metric("attempts_total", result="cancelled") == 1


async def test_while_in_a_batch(tmp_path: Path, asks: Callable[..., bytes]) -> None:
    """The batch goes on for the others; nobody gets the rows of who has left."""
    async with one_worker(tmp_path, cap=1) as (under, worker):
        blocker, held = await hold_one(under, worker)
        first = under.start(rows=1)
        await until(lambda: under.queued == 1)
        gone = under.number()
        async with leaving(under, asks(gone, 3)):
            await until(lambda: under.queued == 4)
            last = under.start(rows=2)
            await until(lambda: under.queued == 6)
            answer(held)
            await blocker
            batch = await worker.requests.get()
            assert numbers_in(batch).count(gone) == 3
        await until(lambda: under.metric("client_disconnects_total") == 1)
        assert under.metric("client_disconnects_total", phase="upstream") == 1
        under.left += 1
        assert worker.cancels.empty()
        worker.manner = answer
        answer(batch)
        assert [(await task).code for task in (first, last)] == ["ok", "ok"]


async def test_one_after_the_other_from_a_batch(tmp_path: Path, asks: Callable[..., bytes]) -> None:
    """With the last of them the batch has nobody left, and the worker is told."""
    async with one_worker(tmp_path, cap=1) as (under, worker):
        blocker, held = await hold_one(under, worker)
        async with leaving(under, asks(under.number())):
            await until(lambda: under.queued == 1)
            async with leaving(under, asks(under.number())):
                await until(lambda: under.queued == 2)
                answer(held)
                await blocker
                batch = await worker.requests.get()
            await until(lambda: under.metric("client_disconnects_total") == 1)
            assert worker.cancels.empty()
        assert await worker.cancels.get() == batch.id
        assert under.metric("client_disconnects_total", phase="upstream") == 2
        under.left += 2


async def test_while_the_answer_is_written(tmp_path: Path, asks: Callable[..., bytes]) -> None:
    """What the client has not read is dropped with it."""
    async with one_worker(tmp_path) as (under, worker):
        async with leaving(under, asks(under.number(), LARGE)) as client:
            head = await client._reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
        under.left_late += 1
        assert (await under.ask()).code == "ok"
        assert worker.done["answer"] == 3


async def test_between_two_pipelined_requests(tmp_path: Path, asks: Callable[..., bytes]) -> None:
    """The second is never begun."""
    async with one_worker(tmp_path, cap=1) as (under, worker):
        worker.manner = worker.hold
        numbers = [under.number(), under.number()]
        async with leaving(under, b"".join(asks(number) for number in numbers)):
            received = await worker.requests.get()
        assert await worker.cancels.get() == received.id
        under.left += 1
        under.left_early += 1
        worker.manner = answer
        assert (await under.ask()).code == "ok"
        assert [worker.sent[number] for number in numbers] == [1, 0]


async def test_while_others_wait_for_the_same_answer(
    tmp_path: Path, asks: Callable[..., bytes]
) -> None:
    """The one whose question is computed for all leaves; the others are answered by it."""
    async with one_worker(tmp_path, cap=1, cache={}) as (under, worker):
        worker.manner = worker.hold
        number = under.number()
        async with leaving(under, asks(number)):
            received = await worker.requests.get()
            followers = [under.start(again=number) for _ in range(3)]
            await until(lambda: under.gateway.gate.inside == 4)
        await until(lambda: under.gateway.gate.inside == 3)
        under.left += 1
        assert worker.cancels.empty()
        worker.manner = answer
        answer(received)
        assert [(await task).code for task in followers] == ["ok"] * 3
        assert worker.sent[number] == 1
