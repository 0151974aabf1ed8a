# SPDX-License-Identifier: Apache-2.0
"""What a link does besides what every transport does: frames, and a worker that drains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.errors import BadAnswer, Draining, UpstreamError
from gateway.wire.frames import Hello, Kind, frame
from gateway.wire.tensor import Tensor
from tests.support.scripted_worker import ScriptedWorker
from tests.support.transports import link
from tests.support.upstream import MODEL, request, values

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_times_that_a_worker_tells_are_in_the_trace(tmp_path: Path) -> None:
    """They are what a batch's cost is fitted to."""
    async with ScriptedWorker(tmp_path) as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        asked = request(1, 2)
        answer = transport.send(asked)
        (await worker.requests.get()).respond(queue=1000, compute=2000, rows=7)
        await answer
        assert (asked.trace.queue, asked.trace.infer, asked.trace.batch_rows) == (0.001, 0.002, 7)


async def test_a_worker_that_refuses_as_it_drains_says_so(tmp_path: Path) -> None:
    """The request was not begun."""
    async with ScriptedWorker(tmp_path) as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answer = transport.send(request())
        (await worker.requests.get()).fail("draining", "the reason")
        with pytest.raises(Draining, match="the reason"):
            await answer


async def test_a_cancel_in_the_turn_of_its_answer_disturbs_nobody(
    tmp_path: Path,
) -> None:
    """The loop calls back a turn after the cancel: an answer may come in between."""
    async with ScriptedWorker(tmp_path) as worker, link(worker) as (transport, upcalls):
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


async def test_a_drain_is_passed_on(tmp_path: Path) -> None:
    """What is in flight is still answered."""
    async with ScriptedWorker(tmp_path) as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answer = transport.send(request(4))
        received = await worker.requests.get()
        received.connection.send(frame(Kind.DRAIN, 0))
        assert await upcalls.told.get() == "drains"
        received.respond()
        assert values(await answer) == [4]


async def test_a_worker_that_drains_while_it_greets_is_draining(
    tmp_path: Path,
) -> None:
    """Both arrive together; the later word counts."""
    async with ScriptedWorker(tmp_path, greets=False) as worker, link(worker) as (_, upcalls):
        connection = await worker.accepted.get()
        connection.send(frame(Kind.HELLO, 0, Hello("1", 1, MODEL)) + frame(Kind.DRAIN, 0))
        assert await upcalls.told.get() == "up"
        assert await upcalls.told.get() == "drains"


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        frame(Kind.PING, 1),
        frame(Kind.HELLO, 0, Hello("1", 1, MODEL)),
        frame(Kind.RESULT, 1),
    ],
    ids=["another protocol", "wrong direction", "second hello", "no head"],
)
async def test_a_worker_that_talks_nonsense_loses_the_connection(
    tmp_path: Path, garbage: bytes
) -> None:
    """What it had fails as lost, and a new connection is made."""
    async with ScriptedWorker(tmp_path) as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answer = transport.send(request())
        (await worker.requests.get()).connection.send(garbage)
        with pytest.raises(UpstreamError):
            await answer
        assert await upcalls.told.get() == "down"
        assert await upcalls.told.get() == "up"


async def test_an_answer_that_contradicts_itself_is_a_bad_one(
    tmp_path: Path,
) -> None:
    """The request gets BadAnswer; the stream is not trusted any more."""
    async with ScriptedWorker(tmp_path) as worker, link(worker) as (transport, upcalls):
        await upcalls.told.get()
        answer = transport.send(request())
        received = await worker.requests.get()
        received.respond(Tensor("y", "FP32", (3,), b"\0" * 8))
        with pytest.raises(BadAnswer, match="'y'"):
            await answer
        assert await upcalls.told.get() == "down"
