# SPDX-License-Identifier: Apache-2.0
"""The fast lane over a scripted transport: whatever way bytes come, answers are the same."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.edge.fastlane import Lane
from gateway.errors import Shed
from gateway.exchange import Answer, Exchange
from tests.support.upstream import settle

if TYPE_CHECKING:
    from collections.abc import Iterator


class Wire(asyncio.Transport):
    """A transport without a socket; *limit* bytes of unread answers pause the writing."""

    def __init__(self, *, limit: int = 10**9) -> None:
        super().__init__({"peername": ("192.0.2.1", 5)})
        self.protocol: Any = None
        self.written = b""
        self.reading = True
        self.closing = False
        self.aborted = False
        self.limit = limit
        self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it, and say so when it is too much, as a socket does: at once."""
        assert not self.closing, "written behind the end"
        self.written += bytes(data)
        if len(self.written) > self.limit and not self.paused:
            self.paused = True
            self.protocol.pause_writing()

    def read_all(self) -> None:
        """The client reads."""
        self.limit = 10**9
        if self.paused:
            self.paused = False
            self.protocol.resume_writing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who gets the bytes from now on."""
        self.protocol = protocol

    def is_closing(self) -> bool:
        """Whether this end was closed."""
        return self.closing

    def close(self) -> None:
        """Note it."""
        self.closing = True

    def abort(self) -> None:
        """Note it."""
        self.closing = self.aborted = True

    def is_reading(self) -> bool:
        """Whether the client's bytes are taken."""
        return self.reading

    def pause_reading(self) -> None:
        """Note it."""
        self.reading = False

    def resume_reading(self) -> None:
        """Note it."""
        self.reading = True


class Other(asyncio.Protocol):
    """The aiohttp server's place: it keeps what it gets."""

    def __init__(self) -> None:
        self.transport: asyncio.BaseTransport | None = None
        self.data = b""
        self.eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        assert not self.data
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self.data += data

    def eof_received(self) -> None:
        """Keep it."""
        self.eof = True


class Desk:
    """A service that echoes bodies: at once, or, while *holds*, when told to."""

    def __init__(self) -> None:
        self.holds = False
        self.held: list[asyncio.Future[None]] = []
        self.seen: list[Exchange] = []
        self.error: Exception | None = None

    async def __call__(self, exchange: Exchange) -> Answer:
        """Answer with the body, in angle brackets."""
        self.seen.append(exchange)
        if self.error is not None:
            raise self.error
        if self.holds:
            future = asyncio.get_running_loop().create_future()
            self.held.append(future)
            await future
        return Answer(200, b"<" + bytes(exchange.body) + b">", [("Content-Type", "text/plain")])

    def release(self) -> None:
        """Let the oldest held answer go."""
        self.held.pop(0).set_result(None)


class Scene:
    """One connection of a lane."""

    def __init__(self, *, limit: int = 10**9, **options: Any) -> None:
        self.desk = Desk()
        self.others: list[Other] = []
        self.lane = Lane(self.desk, fallback=self._fallback, **options)
        self.wire = Wire(limit=limit)
        self.connection = self.lane()
        self.wire.protocol = self.connection
        self.connection.connection_made(self.wire)

    def _fallback(self) -> Other:
        self.others.append(Other())
        return self.others[-1]

    def feed(self, data: bytes) -> None:
        """Bytes from the client, to whoever has the connection; paused ones are an error."""
        assert self.wire.reading, "a paused transport delivers nothing"
        while data:
            protocol = self.wire.protocol
            if isinstance(protocol, asyncio.BufferedProtocol):
                buffer = memoryview(cast("bytearray", protocol.get_buffer(-1)))
                size = min(len(buffer), len(data))
                buffer[:size] = data[:size]
                protocol.buffer_updated(size)
                data = data[size:]
            else:
                protocol.data_received(data)
                return

    def lose(self) -> None:
        """The connection is gone."""
        self.wire.closing = True
        self.wire.protocol.connection_lost(None)

    @property
    def answers(self) -> list[bytes]:
        """The bodies of all that was written."""
        return list(bodies(self.wire.written))


def bodies(written: bytes) -> Iterator[bytes]:
    """The bodies of a stream of responses."""
    while written:
        head, _, rest = written.partition(b"\r\n\r\n")
        found = re.search(rb"\r\nContent-Length: (\d+)", head)
        assert found is not None
        yield rest[: int(found[1])]
        written = rest[int(found[1]) :]


def post(body: bytes, *lines: str, target: str = "/v2/models/m/infer") -> bytes:
    """A plain request."""
    fields = "".join(f"{line}\r\n" for line in ("Host: a", f"Content-Length: {len(body)}", *lines))
    return f"POST {target} HTTP/1.1\r\n{fields}\r\n".encode() + body


LARGE = bytes(range(256)) * 300
BOTH_WAYS = pytest.mark.parametrize("holds", [False, True], ids=["at once", "later"])


async def finish(scene: Scene) -> None:
    """Release all that is held, until nothing is."""
    await settle()
    while scene.desk.held:
        scene.desk.release()
        await settle()


# Bytes.


async def test_answers_a_request() -> None:
    """In the same turn, when the service needs no waiting."""
    scene = Scene()
    scene.feed(post(b"hello", "X-Request-Id: my-id"))
    assert scene.answers == [b"<hello>"]
    assert b"X-Request-Id: my-id\r\n" in scene.wire.written
    (exchange,) = scene.desk.seen
    assert (exchange.model, exchange.client) == ("m", "192.0.2.1")
    assert repr(scene.connection) == "<FastLane awaits=idle busy=False buffered=0>"


@BOTH_WAYS
async def test_a_request_may_be_cut_anywhere(*, holds: bool) -> None:
    """Two requests, cut in two at every byte: the same answers in the same order."""
    stream = post(b"first", "X-A: 1") + post(b"") + post(b"third")
    for at in range(1, len(stream)):
        scene = Scene()
        scene.desk.holds = holds
        scene.feed(stream[:at])
        await asyncio.sleep(0)
        scene.feed(stream[at:])
        if holds:
            await finish(scene)
        assert scene.answers == [b"<first>", b"<>", b"<third>"], at
        assert scene.others == []


async def test_a_request_may_come_byte_by_byte() -> None:
    """However slowly."""
    scene = Scene()
    for byte in post(b"first") + post(b"second"):
        scene.feed(bytes([byte]))
    assert scene.answers == [b"<first>", b"<second>"]


@BOTH_WAYS
async def test_requests_sent_ahead_are_answered_in_order(*, holds: bool) -> None:
    """One after the other: the next begins when the one before is answered."""
    scene = Scene()
    scene.desk.holds = holds
    scene.feed(b"".join(post(b"%d" % number) for number in range(5)))
    assert len(scene.desk.seen) == (1 if holds else 5)
    await finish(scene)
    assert scene.answers == [b"<0>", b"<1>", b"<2>", b"<3>", b"<4>"]
    assert scene.connection.quiet


async def test_too_much_sent_ahead_is_left_in_the_socket() -> None:
    """A client cannot fill our memory behind a slow answer."""
    scene = Scene()
    scene.desk.holds = True
    ahead = 0
    while scene.wire.is_reading():
        scene.feed(post(b"x" * 1000))
        ahead += 1
    assert 200 < ahead < 400
    await finish(scene)
    assert scene.wire.reading
    assert len(scene.answers) == ahead


# Large bodies.


@pytest.mark.parametrize("chunk", [1000, 65536, 10**6])
@BOTH_WAYS
async def test_a_large_body_is_received_in_place(chunk: int, *, holds: bool) -> None:
    """Between small ones, whatever its pieces."""
    stream = post(b"before") + post(LARGE) + post(b"between") + post(LARGE) + post(LARGE)
    scene = Scene()
    scene.desk.holds = holds
    for at in range(0, len(stream), chunk):
        while not scene.wire.reading:
            scene.desk.release()
            await settle()
        scene.feed(stream[at : at + chunk])
    await finish(scene)
    large = b"<" + LARGE + b">"
    assert scene.answers == [b"<before>", large, b"<between>", large, large]


async def test_a_client_may_leave_within_a_large_body() -> None:
    """Nothing was asked yet, so nothing is left."""
    scene = Scene()
    scene.feed(post(LARGE)[:70_000])
    assert not scene.connection.quiet
    scene.lose()
    assert scene.lane.connections == set()
    assert scene.desk.seen == []


async def test_a_large_body_that_ends_early_closes_the_connection() -> None:
    """Half a body is no request."""
    scene = Scene()
    scene.feed(post(LARGE)[:70_000])
    assert not scene.wire.protocol.eof_received()


# Hand-over.

NOT_PLAIN = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "stream",
    [
        NOT_PLAIN,
        post(b"x", "Expect: 100-continue"),
        post(b"x", target="/v2"),
        b"\x16\x03\x01\x00\xc8",
        b"POST /" + b"x" * 40_000,
        post(b"x", "X: " + "a" * 40_000),
    ],
    ids=["method", "header", "target", "noise", "endless start", "large head"],
)
async def test_hands_over_what_it_does_not_take(stream: bytes) -> None:
    """Byte for byte, and for good."""
    scene = Scene()
    scene.feed(stream)
    (other,) = scene.others
    assert other.data == stream
    assert other.transport is scene.wire
    assert scene.wire.protocol is other
    assert scene.lane.connections == set()
    scene.feed(post(b"later"))
    assert other.data == stream + post(b"later")
    assert scene.desk.seen == []


@BOTH_WAYS
async def test_hands_over_behind_its_own_answers(*, holds: bool) -> None:
    """All bytes that were not used go along, cut wherever they were."""
    stream = post(b"mine") + NOT_PLAIN + post(b"not mine any more")
    for at in range(1, len(stream)):
        scene = Scene()
        scene.desk.holds = holds
        scene.feed(stream[:at])
        scene.feed(stream[at:])
        if holds:
            await finish(scene)
        (other,) = scene.others
        assert other.data == NOT_PLAIN + post(b"not mine any more"), at
        assert scene.answers == [b"<mine>"]


async def test_hands_over_as_soon_as_it_is_sure() -> None:
    """The first byte of another method is enough; a beginning of POST is not."""
    scene = Scene()
    scene.feed(b"POST")
    assert scene.others == []
    scene.feed(b" http://a/")
    assert scene.others[0].data == b"POST http://a/"


async def test_an_end_of_the_stream_is_handed_over_too() -> None:
    """A client that has sent its all may still read its answer."""
    scene = Scene()
    scene.desk.holds = True
    scene.feed(post(b"mine") + NOT_PLAIN)
    assert scene.connection.eof_received()
    await finish(scene)
    assert scene.others[0].eof


# Leaving.


async def test_a_client_that_leaves_cancels_what_it_asked() -> None:
    """Nobody reads the answer, so none is made or written."""
    scene = Scene()
    scene.desk.holds = True
    scene.feed(post(b"x") + post(b"y"))
    scene.lose()
    await settle()
    assert scene.desk.held[0].cancelled()
    assert len(scene.desk.seen) == 1
    assert scene.wire.written == b""
    assert scene.lane.connections == set()


async def test_an_answer_in_spite_of_the_cancel_is_not_written() -> None:
    """A service may end in its own way; the transport is gone all the same."""
    scene = Scene()

    async def stubborn(exchange: Exchange) -> Answer:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return Answer(499, b"", [])
        raise AssertionError

    scene.connection._service = stubborn
    scene.feed(post(b"x"))
    scene.lose()
    await settle()
    assert scene.wire.written == b""


@BOTH_WAYS
async def test_an_end_of_the_stream_still_gets_all_answers(*, holds: bool) -> None:
    """Half-closed is not gone: what was asked is answered, then the connection is closed."""
    scene = Scene()
    scene.desk.holds = True
    scene.feed(post(b"x") + post(b"y") + post(b"z"))
    assert scene.connection.eof_received()
    scene.desk.holds = holds
    await finish(scene)
    assert scene.answers == [b"<x>", b"<y>", b"<z>"]
    assert scene.wire.closing
    assert scene.wire.written.count(b"Connection: close") == 1


@pytest.mark.parametrize("rest", [post(b"half")[:-2], post(b"x")[:20], post(LARGE)[:70_000]])
async def test_half_a_request_at_the_end_of_the_stream_ends_it(rest: bytes) -> None:
    """What is not all there never will be."""
    scene = Scene()
    scene.desk.holds = True
    scene.feed(post(b"x"))
    scene.feed(rest)
    assert scene.connection.eof_received()
    await finish(scene)
    assert scene.answers == [b"<x>"]
    assert scene.wire.closing
    assert len(scene.desk.seen) == 1


async def test_an_idle_end_of_the_stream_closes() -> None:
    """Nothing is asked, so nothing is waited for."""
    scene = Scene()
    scene.feed(post(b"x"))
    assert not scene.connection.eof_received()


@BOTH_WAYS
async def test_close_is_answered_with_close(*, holds: bool) -> None:
    """And requests behind it are not served."""
    scene = Scene()
    scene.desk.holds = holds
    scene.feed(post(b"last", "Connection: close") + post(b"never"))
    await finish(scene)
    assert scene.answers == [b"<last>"]
    assert b"Connection: close\r\n" in scene.wire.written
    assert scene.wire.closing
    assert len(scene.desk.seen) == 1


# A client that does not read.


@BOTH_WAYS
async def test_takes_no_request_while_the_client_does_not_read(*, holds: bool) -> None:
    """Answers pile up with us otherwise; they go on when it reads again."""
    scene = Scene(limit=0)
    scene.desk.holds = holds
    scene.feed(post(b"1") + post(b"2"))
    scene.feed(post(b"3"))
    await finish(scene)
    assert scene.answers == [b"<1>"]
    assert len(scene.desk.seen) == 1
    scene.wire.read_all()
    await finish(scene)
    assert scene.answers == [b"<1>", b"<2>", b"<3>"]


async def test_reading_goes_on_only_behind_the_answer() -> None:
    """A client that reads again while its request is busy does not start the next."""
    scene = Scene()
    scene.desk.holds = True
    scene.feed(post(b"1") + post(b"2"))
    scene.connection.pause_writing()
    scene.connection.resume_writing()
    assert len(scene.desk.seen) == 1
    await finish(scene)
    assert scene.answers == [b"<1>", b"<2>"]


async def test_an_end_of_the_stream_behind_unread_answers_is_waited_for() -> None:
    """What was asked before is answered when the client reads."""
    scene = Scene(limit=0)
    scene.feed(post(b"1") + post(b"2"))
    assert scene.connection.eof_received()
    scene.wire.read_all()
    assert scene.answers == [b"<1>", b"<2>"]
    assert scene.wire.closing


# Drain and limits.


async def test_drain_closes_idle_connections_and_answers_the_others() -> None:
    """Nothing that was asked is lost, and nothing new is begun."""
    scene = Scene()
    idle, fresh = scene.lane(), scene.lane()
    wires = [Wire(), Wire()]
    for connection, wire in zip((idle, fresh), wires, strict=True):
        wire.protocol = connection
        connection.connection_made(wire)
    idle.data_received(post(b"before"))
    scene.desk.holds = True
    scene.feed(post(b"during"))
    scene.lane.drain()
    assert [wire.closing for wire in wires] == [True, True]
    assert not scene.wire.is_closing()
    await finish(scene)
    assert scene.answers == [b"<during>"]
    assert b"Connection: close\r\n" in scene.wire.written
    assert scene.wire.is_closing()


@pytest.mark.parametrize("begun", [post(b"half")[:-2], post(b"x")[:20], post(LARGE)[:70_000]])
async def test_drain_waits_for_a_request_that_is_on_its_way(begun: bytes) -> None:
    """Its client has sent the beginning, and gets an answer."""
    scene = Scene()
    scene.feed(begun)
    scene.lane.drain()
    assert not scene.wire.closing


async def test_too_many_connections_are_not_taken() -> None:
    """The lane is bounded; those in it stay."""
    scene = Scene(max_connections=1)
    wire, connection = Wire(), scene.lane()
    connection.connection_made(wire)
    assert wire.aborted
    connection.connection_lost(None)
    assert scene.lane.connections == {scene.connection}
    assert repr(scene.lane) == "<Lane 1 connections, 0 busy>"


async def test_slow_clients_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes too long with head, body or the next request; never one that waits for us."""
    monkeypatch.setattr("gateway.edge.fastlane._SWEEP", 0)
    begun = {
        "head": post(b"x")[:20],
        "body": post(b"half")[:-2],
        "large body": post(LARGE)[:70_000],
        "idle": post(b"x"),
        "fresh": b"",
    }
    for what, data in begun.items():
        scene = Scene(header_timeout=10, body_timeout=20, idle_timeout=30)
        if data:
            scene.feed(data)
        patience = {"head": 10, "fresh": 10, "body": 20, "large body": 20, "idle": 30}[what]
        scene.connection.since -= patience - 5
        sweep = asyncio.ensure_future(scene.lane.sweep())
        await settle()
        assert not scene.wire.is_closing(), what
        scene.connection.since -= 5
        await settle()
        assert scene.wire.is_closing(), what
        sweep.cancel()
    scene = Scene(header_timeout=0, body_timeout=0, idle_timeout=0)
    scene.desk.holds = True
    scene.feed(post(b"x"))
    sweep = asyncio.ensure_future(scene.lane.sweep())
    await settle()
    assert not scene.wire.closing
    sweep.cancel()
    await finish(scene)


async def test_an_error_that_nothing_rescued_ends_the_connection() -> None:
    """It cannot be answered, must not be hidden, and costs no other connection."""
    scene = Scene()
    scene.desk.error = Shed("not rescued")
    with pytest.raises(Shed):
        scene.feed(post(b"x"))
    assert scene.wire.aborted
