# SPDX-License-Identifier: Apache-2.0
"""The fast lane over a scripted transport: whatever way bytes come, answers are the same."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.lane import BOTH_WAYS, LARGE, NOT_PLAIN, Scene, finish, post
from tests.support.upstream import settle

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
