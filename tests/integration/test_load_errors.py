# SPDX-License-Identifier: Apache-2.0
"""What a bad server does to requests is told apart, and no request is lost or counted twice."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter_ns
from typing import Any

import pytest

from gateway.lab import LabError
from gateway.lab.load.connections import Connections
from gateway.lab.load.recorder import Recorder

REQUEST = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(*answers: bytes, close: bool = False) -> Handler:
    """A server that gives *answers* in turn, in as many pieces as there are, to each request."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readexactly(len(REQUEST))
                for answer in answers:
                    writer.write(answer)
                    await writer.drain()
                    # The client's turn: it sees the pieces one by one.
                    await asyncio.sleep(0)
                if close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return handle


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """The port of a server."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def asked(port: int, number: int = 1, **options: Any) -> Recorder:
    """What became of *number* requests."""
    recorder = Recorder()
    recorder.begin = perf_counter_ns()
    given: dict[str, Any] = {"limit": 4, "timeout": 5.0, **options}
    sender = Connections(recorder, "127.0.0.1", port, **given)
    sender.fill = lambda _: REQUEST
    ended = asyncio.Semaphore(0)
    sender.ended = lambda _: ended.release()
    for _ in range(number):
        sender.offer(perf_counter_ns(), 0)
    while sender.pending:
        sender.expire(perf_counter_ns())
        try:
            async with asyncio.timeout(0.01):
                await ended.acquire()
        except TimeoutError:
            continue
    await sender.close()
    recorder.fold()
    assert recorder.tally.offered == number
    return recorder


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ((OK,), None),
        ((OK[:9], OK[9:30], OK[30:]), None),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", b"0\r\n\r\n"), None),
        ((b"HTTP/1.1 100 Continue\r\n\r\n" + OK,), None),
        ((b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",), "shed"),
        ((b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n",), "shed"),
        ((b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",), "client_error"),
        ((b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",), "server_error"),
        ((b"SSH-2.0-OpenSSH_9.2\r\n\r\n",), "malformed"),
        ((OK + b"more",), "malformed"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",), "malformed"),
        ((b"x" * 70_000,), "malformed"),
    ],
)
async def test_answers_are_told_apart(pieces: tuple[bytes, ...], kind: str | None) -> None:
    """In one piece or many, one at a time on a connection, and each counted once."""
    async with serving(answering(*pieces)) as port:
        recorder = await asked(port, 9)

    tally = recorder.tally
    assert tally.errors == ({} if kind is None else {kind: 9})
    assert tally.ok == (9 if kind is None else 0)
    if kind is None:
        assert tally.connects == 4
        assert tally.statuses == {"200": 9}


async def test_a_body_until_the_end_of_the_connection_is_an_answer() -> None:
    """As HTTP/1.0 servers give them."""
    async with serving(answering(b"HTTP/1.0 200 OK\r\n\r\n{}", close=True)) as port:
        recorder = await asked(port, 3)

    assert recorder.tally.ok == 3


@pytest.mark.parametrize("pieces", [(), (OK[:20],), (OK[:-1],)])
async def test_a_connection_that_ends_in_the_middle_is_a_reset(pieces: tuple[bytes, ...]) -> None:
    """Before, in, and just before the end of an answer."""
    async with serving(answering(*pieces, close=True)) as port:
        recorder = await asked(port, 6)

    assert recorder.tally.errors == {"reset": 6}


async def test_nobody_there_is_a_connect_error() -> None:
    """For every request, and for the whole run before it begins."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    recorder = await asked(port, 6)

    assert recorder.tally.errors == {"connect": 6}
    with pytest.raises(LabError, match=rf"127\.0\.0\.1:{port}: cannot be reached: Connection"):
        await Connections(Recorder(), "127.0.0.1", port, limit=1, timeout=1.0).open()


async def test_silence_is_a_timeout_of_exactly_that_long() -> None:
    """Also for those that never found a connection: their time counts as well."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with serving(silent) as port:
        recorder = await asked(port, 10, timeout=0.2)

    tally = recorder.tally
    assert tally.errors == {"timeout": 10}
    assert tally.sent == 4
    assert len(tally.response) == 10
    assert tally.response.minimum == tally.response.maximum == pytest.approx(0.2)


async def test_a_server_that_closes_after_each_answer_is_asked_anew() -> None:
    """Without an error: it said nothing of keeping the connection."""
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    async with serving(answering(closing, close=True)) as port:
        recorder = await asked(port, 20)

    assert recorder.tally.ok == 20
    assert recorder.tally.connects == 20


async def test_new_connections_are_part_of_the_time() -> None:
    """One for each request, within the limit of those at a time."""
    async with serving(answering(OK)) as port:
        recorder = await asked(port, 30, fresh=True, limit=3)

    assert recorder.tally.ok == 30
    assert recorder.tally.connects == 30


async def test_what_nobody_asked_for_ends_the_connection() -> None:
    """An answer too many must not become that of the next request."""
    answered, closed = asyncio.Event(), asyncio.Event()

    async def straying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(REQUEST))
        writer.write(OK)
        await answered.wait()
        writer.write(b"HTTP/1.1 500 stray\r\nContent-Length: 0\r\n\r\n")
        await reader.read()
        writer.close()
        closed.set()

    recorder = Recorder()
    recorder.begin = perf_counter_ns()
    async with serving(straying) as port:
        sender = Connections(recorder, "127.0.0.1", port, limit=1, timeout=5.0)
        sender.ended = lambda _: answered.set()
        sender.fill = lambda _: REQUEST
        sender.offer(perf_counter_ns(), 0)
        await closed.wait()
        answered.clear()
        sender.offer(perf_counter_ns(), 0)
        await answered.wait()
        await sender.close()

    recorder.fold()
    assert recorder.tally.ok == 2
    assert recorder.tally.connects == 2
