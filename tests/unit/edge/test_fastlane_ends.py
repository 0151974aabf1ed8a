# SPDX-License-Identifier: Apache-2.0
"""The fast lane, when a connection ends, stalls or drains: what was asked is answered, once."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import Shed
from gateway.exchange import Answer, Exchange
from tests.support.lane import BOTH_WAYS, LARGE, Scene, Wire, finish, post
from tests.support.upstream import settle

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


async def test_an_end_of_the_stream_counts_as_leaving() -> None:
    """What was asked is given up at once, and what was sent ahead is not begun."""
    scene = Scene()
    scene.desk.holds = True
    scene.feed(post(b"x") + post(b"y"))
    assert not scene.connection.eof_received()
    await settle()
    assert scene.answers == []
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
    monkeypatch.setattr("gateway.edge.lane._SWEEP", 0)
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
        sweep = asyncio.ensure_future(scene.lane.sweep())
        await settle()
        scene.connection.since -= patience - 5
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
