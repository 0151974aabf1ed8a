# SPDX-License-Identifier: Apache-2.0
"""The end of one request and the start of the next: nothing of one gets into the other."""

from __future__ import annotations

import pytest

from tests.support.dataport import WAYS, data_port
from tests.support.edge import Service
from tests.support.http import chunked, connect, request
from tests.support.v2 import body

INFER = "/v2/models/m/infer"
CHUNKED = request("POST", INFER, headers={"Transfer-Encoding": "chunked"})


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Each way into the process."""
    value: str = request.param
    return value


@pytest.mark.parametrize("size", [1, 1 << 20])
async def test_a_trailer_is_no_header_of_the_next_request(way: str, size: int) -> None:
    """The parser would make it one, so that the connection ends with such a request."""
    raw = CHUNKED + chunked(body())[:-2] + b"X-Trailer: 0\r\n\r\n"
    service = Service()
    async with data_port(service, way=way) as port, connect(port) as client:
        for at in range(0, len(raw), size):
            await client.send(raw[at : at + size])
        answer = await client.receive()
        assert (answer.status, answer.header("Connection")) == (200, "close")
        assert await client.closed()
    assert "x-trailer" not in service.exchanges[0].headers


@pytest.mark.parametrize("size", [1, 1 << 20])
async def test_chunks_without_trailers_leave_the_connection_open(way: str, size: int) -> None:
    """However their end is cut."""
    raw = CHUNKED + chunked(body()[:9], body()[9:])
    async with data_port(way=way) as port, connect(port) as client:
        for _ in range(3):
            for at in range(0, len(raw), size):
                await client.send(raw[at : at + size])
            answer = await client.receive()
            assert (answer.status, answer.header("Connection")) == (200, None)


async def test_a_trailer_of_an_unread_body_is_not_kept_either(way: str) -> None:
    """Whoever refuses a request does not read its body."""
    head = CHUNKED.replace(b"POST", b"PUT", 1)
    async with data_port(way=way) as port, connect(port) as client:
        await client.send(head + chunked(body())[:-2] + b"X-Trailer: 0\r\n\r\n")
        answer = await client.receive()
        assert (answer.status, answer.header("Connection")) == (405, "close")
        assert await client.closed()


async def test_nothing_can_follow_an_upgrade(way: str) -> None:
    """What arrives together with such a request is lost, so that half a request might be read."""
    headers = {"Connection": "Upgrade", "Upgrade": "h2c"}
    service = Service()
    async with data_port(service, way=way) as port, connect(port) as client:
        second = request("POST", INFER, body())
        await client.send(request("POST", INFER, body(), headers) + second[:-40])
        answer = await client.receive()
        assert (answer.status, answer.header("Connection")) == (200, "close")
        assert await client.closed()
    assert len(service.exchanges) == 1


async def test_a_bad_target_is_not_repeated(way: str) -> None:
    """It may hold a secret."""
    async with data_port(way=way) as port, connect(port) as client:
        answer = await client.ask("POST", "file:///secret", body())
        assert answer.status == 400
        assert answer.json() == {
            "error": "malformed HTTP request: the target is neither a path nor an http URL"
        }
