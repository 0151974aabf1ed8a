# SPDX-License-Identifier: Apache-2.0
"""The fast lane's limits: how many connections, and how long each may take."""

from __future__ import annotations

import asyncio

import pytest

from gateway.edge import lane
from gateway.exchange import Answer, Exchange
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
