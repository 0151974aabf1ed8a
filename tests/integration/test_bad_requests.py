# SPDX-License-Identifier: Apache-2.0
"""Requests that cannot be taken: too large, in an unknown coding, too slow, or not HTTP."""

from __future__ import annotations

import gzip

import pytest

from gateway.exchange import Exchange
from tests.support.dataport import WAYS, data_port, open_data_port
from tests.support.edge import Service
from tests.support.http import connect, request
from tests.support.v2 import body

INFER = "/v2/models/m/infer"


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Each way into the process."""
    value: str = request.param
    return value


@pytest.mark.parametrize(
    ("sent", "headers", "status", "says"),
    [
        (bytes(1001), {}, 413, "1001 bytes, the limit is 1000"),
        (gzip.compress(bytes(1001)), {"Content-Encoding": "gzip"}, 413, "more than 1000 bytes"),
        (gzip.compress(bytes(1 << 20)), {"Content-Encoding": "gzip"}, 413, "the limit"),
        (b"x", {"Content-Encoding": "br"}, 415, "send gzip, deflate or identity"),
        (b"plain", {"Content-Encoding": "gzip"}, 400, "Content-Encoding is gzip, the body is not"),
        (b"x", {"Expect": "a-miracle"}, 417, "'100-continue' is all that is met"),
    ],
)
async def test_a_body_that_cannot_be_taken_is_refused(
    way: str, sent: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    """With the limit, or with what would be right."""
    async with data_port(way=way, max_body=1000) as port, connect(port) as client:
        answer = await client.ask("POST", INFER, sent, headers)

    assert answer.status == status
    assert says in answer.json()["error"]
    if status == 415:
        assert answer.header("Accept-Encoding") == "gzip, deflate"


async def test_a_chunked_body_over_the_limit_is_refused(way: str) -> None:
    """As soon as it is over, and before its end."""
    async with data_port(way=way, max_body=1000) as port, connect(port) as client:
        head = request("POST", INFER, headers={"Transfer-Encoding": "chunked"})
        await client.send(head + b"3e9\r\n" + bytes(1001) + b"\r\n")
        answer = await client.receive()
        assert (answer.status, answer.header("Connection")) == (413, "close")


async def test_a_body_of_exactly_the_limit_is_taken(way: str) -> None:
    """The limit is what is allowed."""
    whole = body(id="x" * (1000 - len(body(id=""))))
    async with data_port(way=way, max_body=1000) as port, connect(port) as client:
        assert len(whole) == 1000
        assert (await client.ask("POST", INFER, whole)).status == 200
        assert (await client.ask("POST", INFER, whole + b" ")).status == 413


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /v2/models/m/infer\r\n\r\n",
        b"POST /v2/models/m/infer HTTP/9.9\r\nHost: a\r\n\r\n",
        b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n{",
        b"POST /v2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
        b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nA: b\x00\r\n\r\n",
        b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_is_not_http_is_refused_in_json(way: str, raw: bytes) -> None:
    """And the connection is closed: nobody knows where the next request would begin."""
    async with data_port(way=way) as port, connect(port) as client:
        await client.send(raw)
        answer = await client.receive()
        assert answer.status == 400
        assert answer.header("Infergate-Error") == "invalid_request"
        assert answer.json()["error"].startswith("malformed HTTP request: ")
        assert len(answer.body) < 200
        assert await client.closed()


async def test_a_slow_body_is_given_up() -> None:
    """With 408, and the connection is closed."""
    async with data_port(body_timeout=0.01) as port, connect(port) as client:
        await client.send(request("POST", INFER, headers={"Content-Length": "100"}) + b"{")
        answer = await client.receive()
        assert (answer.status, answer.header("Infergate-Error")) == (408, "request_timeout")
        assert "not complete after 0.01 s; 1 bytes had arrived" in answer.json()["error"]
        assert answer.header("Connection") == "close"


async def test_refusals_before_the_service_are_told() -> None:
    """So that they can be counted."""
    told: list[tuple[str, int]] = []
    async with (
        data_port(
            max_body=10,
            refused=lambda exchange, answer: told.append((exchange.model, answer.status)),
        ) as port,
        connect(port) as client,
    ):
        await client.ask("POST", INFER, bytes(11))
    assert told == [("m", 413)]


async def test_a_version_of_http_that_is_not_text_is_refused(way: str) -> None:
    """An answer in words of HTTP/2.0 would be no answer to anybody."""
    raw = request("POST", INFER, body()).replace(b"HTTP/1.1", b"HTTP/2.0", 1)
    async with data_port(way=way) as port, connect(port) as client:
        await client.send(raw)
        answer = await client.receive()
        assert await client.closed()

    assert answer.status == 400
    assert "not HTTP/1.1" in answer.json()["error"]


async def test_blanks_behind_a_header_value_do_not_matter(way: str) -> None:
    """They are no part of it, by either way in."""
    sent = body()
    headers = {"Inference-Header-Content-Length": f"{len(sent)} \t"}
    async with data_port(way=way) as port, connect(port) as client:
        answer = await client.ask("POST", INFER, sent, headers)

    assert answer.status == 200


async def test_a_request_without_a_body_may_end_the_connection(way: str) -> None:
    """The refusal says so, and the end comes."""
    async with data_port(way=way) as port, connect(port) as client:
        answer = await client.ask("POST", INFER, b"", {"Connection": "close"})
        assert (answer.status, answer.header("Connection")) == (400, "close")
        assert await client.closed()


async def test_a_slow_head_is_given_up(way: str) -> None:
    """Also one that the fast lane has handed over, as it does at the first strange letter."""
    async with data_port(way=way, header_timeout=0.01) as port, connect(port) as client:
        await client.send(b"GET /v2/hea")
        assert await client.closed()


async def test_the_answer_to_a_head_in_time_may_take_longer() -> None:
    """What is timed is the head; the lane hands it over whole, so it is never late."""

    async def dawdle(exchange: Exchange) -> None:
        # Longer than a head may take: one that began later has been given up.
        async with connect(opened.port) as slow:
            await slow.send(b"GET /v2/hea")
            assert await slow.closed()

    service = Service(before=dawdle)
    headers = {"TE": "trailers"}
    async with (
        open_data_port(service, way="lane", header_timeout=0.01) as opened,
        connect(opened.port) as client,
    ):
        assert (await client.ask("POST", INFER, body(), headers)).status == 200
