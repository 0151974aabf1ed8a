# SPDX-License-Identifier: Apache-2.0
"""The fast lane's limits: how many connections, and how long each may take."""

from __future__ import annotations

import asyncio

import pytest

from gateway.edge import lane
from gateway.exchange import Answer, Exchange
from gateway.stages.gate import Gate
from gateway.stages.overload import Overload
from gateway.telemetry import Telemetry
from tests.support.lane import LARGE, Scene, post
from tests.support.upstream import settle


@pytest.mark.parametrize("begun", [post(b"abcd")[:-1], post(LARGE)[:70_000]])
async def test_a_slow_body_is_answered_before_it_is_given_up(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """408 in the protocol's own form, and whoever counts hears of it."""
    monkeypatch.setattr(lane, "_SWEEP", 0)
    scene = Scene(body_timeout=20)
    heard: list[tuple[Exchange, Answer]] = []
    scene.lane.refused = lambda exchange, answer: heard.append((exchange, answer))
    scene.feed(begun)
    scene.connection.since -= 21
    sweep = asyncio.ensure_future(scene.lane.sweep())
    while not scene.wire.closing:
        await settle()
    sweep.cancel()

    assert scene.wire.written.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"Infergate-Error: request_timeout\r\n" in scene.wire.written
    assert b"Connection: close\r\n" in scene.wire.written
    ((exchange, answer),) = heard
    assert (exchange.model, answer.status) == ("m", 408)


async def test_connections_that_were_handed_over_still_count() -> None:
    """One request to the other server must not be the way around the limit."""
    scene = Scene(max_connections=2)
    scene.lane.others = lambda: 1
    scene.feed(post(b"x"))
    refused = scene.lane()
    wire = type(scene.wire)()
    refused.connection_made(wire)

    assert wire.aborted
    assert not scene.wire.closing


@pytest.mark.parametrize(
    "head", [b"POST /v2/x HTTP/1.1\nHost: a\n\n", b"POST / HTTP/1.1\r\nA: b\n"]
)
async def test_a_line_that_ends_otherwise_is_not_waited_for(head: bytes) -> None:
    """The empty line may never come; the other server says what is wrong at once."""
    scene = Scene()
    scene.feed(head)

    assert scene.others[0].data == head


async def sweep_once(scene: Scene) -> None:
    """Let the lane look at its connections."""
    sweep = asyncio.ensure_future(scene.lane.sweep())
    await settle()
    sweep.cancel()


@pytest.fixture(name="prompt")
def make_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lane looks at its connections at every turn of the loop."""
    monkeypatch.setattr(lane, "_SWEEP", 0)


@pytest.mark.usefixtures("prompt")
@pytest.mark.parametrize("line", ["", "Connection: close\r\n"], ids=["keep", "close"])
async def test_an_answer_that_is_not_read_is_dropped_after_its_time(line: str) -> None:
    """Closing would wait for the reader; what is read in time is nobody's fault."""
    heard: list[str] = []
    scene = Scene(limit=0, answer_timeout=20, slow=heard.append)
    scene.feed(post(b"x").replace(b"Host", line.encode() + b"Host"))
    scene.connection.unread_since -= 15
    await sweep_once(scene)
    seen = [scene.wire.aborted]
    scene.connection.unread_since -= 10
    await sweep_once(scene)
    seen.append(scene.wire.aborted)
    assert seen == [False, True]
    assert heard == ["answer"]
    assert scene.lane.connections == set()


@pytest.mark.usefixtures("prompt")
async def test_a_client_that_read_on_is_idle_again() -> None:
    """What it did not read once is forgotten."""
    scene = Scene(limit=0, answer_timeout=20, idle_timeout=30)
    scene.feed(post(b"x"))
    scene.connection.unread_since -= 100
    scene.wire.read_all()
    await sweep_once(scene)
    seen = [scene.wire.closing]
    scene.connection.since -= 31
    await sweep_once(scene)
    seen.append(scene.wire.closing)
    assert seen == [False, True]
    assert not scene.wire.aborted


@pytest.mark.usefixtures("prompt")
async def test_an_unread_goodbye_is_not_waited_for_without_end() -> None:
    """The 408 of a client that does not read either keeps the connection in sight."""
    scene = Scene(limit=0, body_timeout=20, answer_timeout=20)
    scene.feed(post(b"abcd")[:-1])
    scene.connection.since -= 21
    await sweep_once(scene)
    assert scene.wire.closing
    assert scene.lane.connections == {scene.connection}
    scene.connection.unread_since -= 21
    await sweep_once(scene)
    assert scene.wire.aborted
    assert scene.lane.connections == set()


async def test_a_connection_lets_one_answer_wait() -> None:
    """Whatever is unsent stops the next request."""
    assert Scene().wire.high == 0


async def test_a_strained_process_parts_with_its_clients() -> None:
    """Behind their answers, and not any more once it has what it needs."""
    gate = Gate()
    scene = Scene(gate=gate)
    gate.strain(strained=True)
    gate.strain(strained=False)
    scene.feed(post(b"1"))
    assert not scene.wire.closing
    gate.strain(strained=True)
    scene.feed(post(b"2"))
    assert scene.answers == [b"<1>", b"<2>"]
    assert scene.wire.written.count(b"Connection: close\r\n") == 1
    assert scene.wire.closing


async def test_an_overloaded_process_receives_no_large_body() -> None:
    """The other server refuses it and reads no more of it; a small one goes to Admission."""
    gate = Gate()
    gate.overload = Overload("memory", "too much", 1.0, Telemetry())
    scene = Scene(gate=gate)
    scene.feed(post(b"small"))
    assert scene.answers == [b"<small>"]
    begun = post(LARGE)[:70_000]
    scene.feed(begun)
    assert scene.others[0].data == begun


async def test_each_connection_too_many_is_counted() -> None:
    """An operator sees that the limit was met."""
    turned: list[None] = []
    scene = Scene(max_connections=1, turned_away=lambda: turned.append(None))
    scene.lane().connection_made(type(scene.wire)())
    assert len(turned) == 1
