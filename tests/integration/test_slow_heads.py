# SPDX-License-Identifier: Apache-2.0
"""A client that sends the head of a request byte by byte."""

from __future__ import annotations

import pytest

from tests.support.dataport import WAYS, open_data_port
from tests.support.http import connect, request
from tests.support.slow import dribble
from tests.support.v2 import body

INFER = "/v2/models/m/infer"
# A head that goes on for ever: what is sent again and again belongs to a value.
ENDLESS = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nX-Pad: aaaa".encode()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("asked_before", [False, True], ids=["first", "later"])
async def test_a_head_has_its_time(way: str, *, asked_before: bool) -> None:
    """The first one of a connection and any later; bytes on the way are no excuse."""
    async with open_data_port(way=way, header_timeout=0.3) as port, connect(port.port) as client:
        if asked_before:
            assert (await client.ask("POST", INFER, body())).status == 200
        async with dribble(client, ENDLESS) as sender:
            assert await client.closed()
            assert sender.sent > 2
        assert await port.slow.get() == "head"
        assert port.connections == 0


@pytest.mark.parametrize("way", WAYS)
async def test_others_are_served_meanwhile(way: str) -> None:
    """Slow heads take no place from a client that is quick, and its connection stays."""
    async with (
        open_data_port(way=way, header_timeout=0.3) as port,
        connect(port.port) as slow,
        connect(port.port) as quick,
        dribble(slow, ENDLESS),
    ):
        while port.slow.empty():
            assert (await quick.ask("POST", INFER, body())).status == 200
        assert (await quick.ask("POST", INFER, body())).status == 200


@pytest.mark.parametrize("way", WAYS)
async def test_a_connection_without_a_byte_is_a_head_too(way: str) -> None:
    """Whoever connects wants to ask."""
    async with open_data_port(way=way, header_timeout=0.2) as port, connect(port.port) as client:
        assert await client.closed()
        assert await port.slow.get() == "head"


async def test_a_head_that_the_lane_hands_over_is_timed_there() -> None:
    """The other server has its own clock."""
    async with (
        open_data_port(way="lane", header_timeout=0.3) as port,
        connect(port.port) as client,
    ):
        async with dribble(client, b"GET /v2 HTTP/1.1\r\nHost: a\r\nX-Pad: a"):
            assert await client.closed()
        assert await port.slow.get() == "head"


@pytest.mark.parametrize("way", WAYS)
async def test_a_pause_between_requests_is_no_slow_head(way: str) -> None:
    """It has a time of its own, and nobody counts it as a fault."""
    async with (
        open_data_port(way=way, header_timeout=0.1, idle_timeout=0.5) as port,
        connect(port.port) as client,
    ):
        await client.send(request("POST", INFER, body()))
        assert (await client.receive()).status == 200
        assert await client.closed()
        assert port.slow.empty()
