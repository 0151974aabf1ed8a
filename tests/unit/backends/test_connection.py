# SPDX-License-Identifier: Apache-2.0
"""Writing from any thread, and what a connection takes and refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from backends import connection as module
from backends.connection import Connection
from backends.engine import Job
from gateway.wire.frames import Kind, frame
from gateway.wire.tensor import Buffer


class Pipe:
    """Stands for the socket: takes *room* bytes, then would block."""

    def __init__(self) -> None:
        self.room = 1 << 30
        self.taken = b""
        self.gone = False
        self.closed = False

    def sendmsg(self, buffers: list[Buffer]) -> int:
        """Take what there is room for."""
        if self.gone:
            raise ConnectionResetError
        assert len(buffers) <= module.MAX_BUFFERS
        data = b"".join(map(bytes, buffers))[: self.room]
        if not data:
            raise BlockingIOError
        self.room -= len(data)
        self.taken += data
        return len(data)

    def fileno(self) -> int:
        """Any number."""
        return 99

    def close(self) -> None:
        """Note it."""
        self.closed = True


class Loop:
    """Stands for the event loop: calls at once, and holds the writer."""

    def __init__(self) -> None:
        self.writer: Callable[[], None] | None = None

    def call_soon_threadsafe(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call it."""
        call(*arguments)

    def add_writer(self, fileno: int, call: Callable[[], None]) -> None:
        """Hold *call*."""
        self.writer = call

    def remove_writer(self, fileno: int) -> None:
        """Drop it."""
        self.writer = None


class Transport:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Callable[[], bool]:
        def note() -> bool:
            self.asked.append(name)
            return False

        return note


class Engine:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.cancelled: list[Job] = []
        self.pings: list[int] = []

    def submit(self, job: Job) -> None:
        """Note a job."""
        self.jobs.append(job)

    def cancel(self, job: Job) -> None:
        """Note a cancel."""
        self.cancelled.append(job)

    def ping(self, client: Connection, id: int) -> None:  # noqa: A002
        """Note a ping."""
        self.pings.append(id)


class Line:
    """A connection between stand-ins."""

    def __init__(self) -> None:
        self.loop, self.pipe, self.engine = Loop(), Pipe(), Engine()
        self.transport = Transport()
        self.reasons: list[str] = []
        self.connection = Connection(
            self.loop,  # type: ignore[arg-type]
            self.engine,  # type: ignore[arg-type]
            hello=b"hello",
            opened=lambda _: None,
            closed=lambda _, reason: self.reasons.append(reason),
        )
        self.connection._transport = self.transport  # type: ignore[assignment]
        self.connection._socket = self.pipe  # type: ignore[assignment]

    def arrives(self, raw: bytes) -> None:
        """Bytes from the peer."""
        self.connection.get_buffer(-1)[: len(raw)] = raw
        self.connection.buffer_updated(len(raw))


def test_an_answer_goes_straight_to_the_socket() -> None:
    """The loop is not asked where the kernel takes everything."""
    line = Line()
    line.connection.send([b"ab", memoryview(b"cd")])
    assert line.pipe.taken == b"abcd"
    assert line.loop.writer is None


def test_what_the_kernel_does_not_take_follows_in_order() -> None:
    """Later answers queue up behind the rest of the first one."""
    line = Line()
    line.pipe.room = 3
    line.connection.send([b"ab", memoryview(b"cdef")])
    line.pipe.room = 100  # by now the kernel would take it, ahead of its turn
    line.connection.send([b"gh"])
    assert line.pipe.taken == b"abc"
    assert line.connection.backlog == 5
    for _ in range(3):
        line.pipe.room = 2
        assert line.loop.writer is not None
        line.loop.writer()
    assert line.pipe.taken == b"abcdefgh"
    assert line.connection.backlog == 0
    assert line.loop.writer is None


def test_more_buffers_than_a_call_takes_are_sent_in_parts() -> None:
    """A model may have many outputs."""
    line = Line()
    buffers: list[Buffer] = [bytes([i % 256]) for i in range(3 * module.MAX_BUFFERS + 1)]
    line.connection.send(buffers)
    assert line.loop.writer is not None
    line.loop.writer()
    assert line.pipe.taken == b"".join(map(bytes, buffers))


def test_a_peer_that_takes_no_answers_is_read_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers would fill the memory; it is read again when it has taken them."""
    monkeypatch.setattr(module, "MAX_BACKLOG", 4)
    line = Line()
    line.pipe.room = 0
    line.connection.send([b"abcde"])
    assert line.transport.asked == ["pause_reading"]
    line.pipe.room = 10
    assert line.loop.writer is not None
    line.loop.writer()
    assert line.transport.asked[-1] == "resume_reading"


def test_an_answer_to_a_peer_that_has_gone_is_dropped() -> None:
    """The loop finds out by itself; a compute thread need not care."""
    line = Line()
    line.pipe.gone = True
    line.connection.send([b"ab"])
    assert line.connection.backlog == 0
    line.connection.connection_lost(None)
    line.connection.send([b"cd"])
    assert line.pipe.closed
    assert line.pipe.taken == b""


async def test_flushed_waits_for_the_last_byte() -> None:
    """A drain ends no connection whose answers are still on the way."""
    line = Line()
    await line.connection.flushed()
    line.pipe.room = 0
    line.connection.send([b"ab"])
    waiting = asyncio.ensure_future(line.connection.flushed())
    await asyncio.sleep(0)
    assert not waiting.done()
    line.pipe.room = 2
    assert line.loop.writer is not None
    line.loop.writer()
    await waiting


def test_a_cancel_finds_its_job_until_it_is_answered() -> None:
    """An unknown id is no error: the answer may have crossed the cancel."""
    line = Line()
    line.arrives(frame(Kind.INFER, 5))
    line.arrives(frame(Kind.CANCEL, 5))
    line.arrives(frame(Kind.CANCEL, 6))
    assert line.engine.cancelled == line.engine.jobs
    line.connection.answer(5, [b"done"])
    line.arrives(frame(Kind.CANCEL, 5))
    assert len(line.engine.cancelled) == 1


def test_a_ping_is_passed_on() -> None:
    """The engine decides when it is answered."""
    line = Line()
    line.arrives(frame(Kind.PING, 3))
    assert line.engine.pings == [3]


def test_a_lost_connection_cancels_what_it_asked() -> None:
    """Nobody waits for the answers."""
    line = Line()
    line.arrives(frame(Kind.INFER, 1) + frame(Kind.INFER, 2))
    line.connection.connection_lost(None)
    assert line.engine.cancelled == line.engine.jobs
    assert line.reasons == [""]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not a frame"),
        (frame(Kind.HELLO, 1), "a gateway does not send HELLO"),
        (frame(Kind.INFER, 1) * 2, "id 1 is in use"),
    ],
    ids=["http", "hello", "twice"],
)
def test_what_the_protocol_does_not_allow_ends_the_connection(raw: bytes, reason: str) -> None:
    """The reason is kept for the log."""
    line = Line()
    line.arrives(raw)
    assert "abort" in line.transport.asked
    line.connection.connection_lost(None)
    assert reason in line.reasons[0]
