# SPDX-License-Identifier: Apache-2.0
"""HTTP on the data port, by both ways in: the aiohttp server and the fast lane before it."""

from __future__ import annotations

import asyncio
import gzip
import json
import uuid
import zlib
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from aiohttp import http_parser

from gateway.edge.app import make_server
from gateway.exchange import Exchange
from gateway.stages.gate import Gate
from tests.support.dataport import WAYS, data_port
from tests.support.edge import Served, Service, model
from tests.support.http import chunked, connect, request
from tests.support.v2 import body

INFER = "/v2/models/m/infer"
PREDICT = "/v1/models/m:predict"
SUMS = [3.0, -1.0, 2.0]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Each way into the process."""
    value: str = request.param
    return value


async def test_inference_answers_on_both_protocols(way: str) -> None:
    """One after the other on one connection, which stays open."""
    async with data_port(way=way) as port, connect(port) as client:
        for target in (INFER, "/v2/models/m/versions/1/infer", f"{INFER}?a=b"):
            answer = await client.ask("POST", target, body(id="mine"))
            assert (answer.status, answer.reason, answer.version) == (200, "OK", "HTTP/1.1")
            assert answer.json()["id"] == "mine"
            assert answer.json()["outputs"][0]["data"] == SUMS
        answer = await client.ask("POST", PREDICT, {"instances": [[1, 2]]})
        assert answer.json() == {"predictions": [SUMS]}


async def test_both_ways_answer_the_same() -> None:
    """Status, header names in their order, and body; values differ only where they must."""
    questions: list[tuple[str, str, Any, dict[str, str]]] = [
        ("POST", INFER, body(id="i"), {"X-Request-Id": "r"}),
        ("POST", INFER, b"{", {"X-Request-Id": "r"}),
        ("POST", INFER, b"", {"X-Request-Id": "r"}),
        ("POST", "/v2/models/z/infer", body(), {"X-Request-Id": "r", "Connection": "close"}),
        ("POST", PREDICT, {"inputs": [[1, 2]]}, {"X-Request-Id": "r"}),
        ("GET", INFER, None, {"X-Request-Id": "r"}),
        ("GET", "/v2", None, {"X-Request-Id": "r"}),
    ]

    async def trace(exchange: Exchange) -> None:
        exchange.trace.endpoint, exchange.trace.digest = "m-0", "ab" * 32
        exchange.trace.cache, exchange.trace.upstream = "fwd=miss; stored", 0.001

    seen: dict[str, list[Any]] = {}
    varying = {"date", "server-timing", "x-inference-id"}
    for one in WAYS:
        async with data_port(Service(before=trace), way=one) as port:
            for question in questions:
                async with connect(port) as client:
                    answer = await client.ask(*question)
                fields = [
                    (name, "" if name.lower() in varying else value)
                    for name, value in answer.headers
                ]
                seen.setdefault(one, []).append((answer.status, answer.reason, fields, answer.body))
    assert seen["lane"] == seen["aiohttp"]


async def test_headers_tell_who_answered(way: str) -> None:
    """Ids, timing, date and server; an id of the caller comes back."""
    async with data_port(way=way) as port, connect(port) as client:
        answer = await client.ask("POST", INFER, body())
        made = answer.header("X-Request-Id") or ""
        assert uuid.UUID(made).version == 7
        assert answer.header("X-Inference-Id") == made
        assert (answer.header("Server-Timing") or "").startswith("cache;dur=")
        assert parsedate_to_datetime(answer.header("Date") or "").tzinfo is not None
        assert answer.header("Server") == "infergate"
        assert answer.header("Infergate-Error") is None

        answer = await client.ask("POST", INFER, body(), {"X-Request-Id": "try-1"})
        assert answer.header("X-Request-Id") == "try-1"
        assert uuid.UUID(answer.header("X-Inference-Id") or "").version == 7

        answer = await client.ask("POST", INFER, body(id="mine"), {"X-Request-Id": "a b"})
        assert answer.header("X-Inference-Id") == "mine"
        assert uuid.UUID(answer.header("X-Request-Id") or "").version == 7


async def test_a_refusal_leaves_the_connection_open(way: str) -> None:
    """What was read to its end and understood as HTTP is no reason to part."""
    async with data_port(way=way) as port, connect(port) as client:
        for target, sent, status, code in (
            (INFER, b"{", 400, "invalid_request"),
            (INFER, b"", 400, "invalid_request"),
            (INFER, body(id=5), 400, "invalid_request"),
            ("/v2/models/z/infer", body(), 404, "model_not_found"),
            (PREDICT, b"[]", 400, "invalid_request"),
        ):
            answer = await client.ask("POST", target, sent)
            assert (answer.status, answer.header("Infergate-Error")) == (status, code)
            assert list(answer.json()) == ["error"]
        assert (await client.ask("POST", INFER, body())).status == 200


async def test_requests_may_be_sent_ahead(way: str) -> None:
    """Answers come in the order of the questions, whatever kind they are."""
    async with data_port(way=way) as port, connect(port) as client:
        await client.send(
            request("POST", INFER, body(id="1"))
            + request("POST", INFER, body(id="2"))
            + request("GET", "/v2/health/live")
            + request("POST", INFER, body(id="3"))
        )
        answers = [await client.receive() for _ in range(4)]
    assert [answer.json().get("id") for answer in answers] == ["1", "2", None, "3"]


async def test_a_body_may_come_in_pieces(way: str) -> None:
    """Byte by byte, with one length or in chunks."""
    for raw in (
        request("POST", INFER, body()),
        request("POST", INFER, headers={"Transfer-Encoding": "chunked"})
        + chunked(body()[:7], body()[7:]),
    ):
        async with data_port(way=way) as port, connect(port) as client:
            for at in range(len(raw)):
                await client.send(raw[at : at + 1])
            assert (await client.receive()).json()["outputs"][0]["data"] == SUMS


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
async def test_a_compressed_body_is_inflated(way: str, coding: str) -> None:
    """With binary tensors, the header length counts what was inflated."""
    text = json.dumps({
        "inputs": [
            {"name": "x", "shape": [1, 2], "datatype": "FP32",
             "parameters": {"binary_data_size": 8}}
        ],
    }).encode()  # fmt: skip
    plain = text + b"\0\0\x80\x3f\0\0\0\x40"
    packs: dict[str, Any] = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}
    pack = packs[coding]
    headers = {"Content-Encoding": coding, "Inference-Header-Content-Length": str(len(text))}

    async with data_port(way=way) as port, connect(port) as client:
        answer = await client.ask("POST", INFER, pack(plain), headers)

    assert answer.json()["outputs"][0]["data"] == SUMS


async def test_a_client_that_asks_first_is_told_to_go_on(way: str) -> None:
    """100 Continue, then the answer; a body that is too large is refused at once."""
    async with data_port(way=way, max_body=1000) as port, connect(port) as client:
        headers = {"Expect": "100-continue", "Content-Length": str(len(body()))}
        await client.send(request("POST", INFER, headers=headers))
        assert (await client.receive()).status == 100
        await client.send(body())
        assert (await client.receive()).status == 200

        await client.send(request("POST", INFER, headers=headers | {"Content-Length": "1001"}))
        assert (await client.receive()).status == 413


async def test_http_1_0_is_spoken_too(way: str) -> None:
    """The answer is whole, and the connection ends with it."""
    raw = request("POST", INFER, body()).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    async with data_port(way=way) as port, connect(port) as client:
        await client.send(raw)
        assert (await client.receive()).json()["outputs"][0]["data"] == SUMS
        assert await client.closed()


async def test_a_target_may_name_the_server(way: str) -> None:
    """As a client sends it that takes this server for a proxy."""
    async with data_port(way=way) as port, connect(port) as client:
        assert (await client.ask("POST", f"http://test{INFER}", body())).status == 200
        assert (await client.ask("GET", "http://test/v2/health/live?x")).json() == {"live": True}


@pytest.mark.parametrize(("size", "coding"), [(1, None), (200, "gzip")])
async def test_answers_are_compressed_where_that_is_wanted(size: int, coding: str | None) -> None:
    """Above the size that was set, for a client that accepts it."""
    rows = {"inputs": [{"name": "x", "shape": [size, 2], "datatype": "FP32",
                        "data": [1, 2] * size}]}  # fmt: skip
    async with data_port(compress_above=1000) as port, connect(port) as client:
        answer = await client.ask("POST", INFER, rows, {"Accept-Encoding": "br, gzip;q=0.9"})
        plain = await client.ask("POST", INFER, rows)

    assert answer.header("Content-Encoding") == coding
    assert (answer.header("Vary") or "") == ("Accept-Encoding" if coding else "")
    unpacked = gzip.decompress(answer.body) if coding else answer.body
    assert unpacked == plain.body
    assert plain.header("Content-Encoding") is None


async def test_answers_are_not_compressed_by_default(way: str) -> None:
    """Every Python client says that it accepts gzip."""
    async with data_port(way=way) as port, connect(port) as client:
        answer = await client.ask("POST", INFER, body(), {"Accept-Encoding": "gzip, deflate"})
    assert answer.header("Content-Encoding") is None


async def test_head_answers_without_a_body(way: str) -> None:
    """The length is that of the GET."""
    async with data_port(way=way) as port, connect(port) as client:
        for target in ("/v2", "/v2/models/m", "/metrics", "/nothing"):
            head = await client.ask("HEAD", target)
            get = await client.ask("GET", target)
            assert (head.status, head.header("Content-Length")) == (
                get.status, str(len(get.body)),
            )  # fmt: skip


async def test_a_wrong_verb_is_told_the_right_ones(way: str) -> None:
    """In JSON, with Allow."""
    async with data_port(way=way) as port, connect(port) as client:
        for method, target, allow in (
            ("GET", INFER, "POST"), ("PUT", PREDICT, "POST"), ("OPTIONS", "/v2", "GET, HEAD"),
            ("DELETE", "/v2/models/m", "GET, HEAD"), ("GET", "/v2/repository/index", "POST"),
        ):  # fmt: skip
            answer = await client.ask(method, target)
            assert (answer.status, answer.header("Allow")) == (405, allow)
            assert answer.json() == {"error": "Method Not Allowed"}


async def test_an_upgrade_is_not_taken(way: str) -> None:
    """The request is answered as the plain one that it also is."""
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AA"}
    async with data_port(way=way) as port, connect(port) as client:
        assert (await client.ask("GET", "/v2/health/live", None, headers)).status == 200


async def test_a_draining_server_is_not_ready_and_says_goodbye() -> None:
    """Each answer is the last on its connection."""
    gate = Gate()
    gate.drain()
    async with data_port(gate=gate) as port:
        for target, status in (("/v2/health/ready", 503), ("/v2/health/live", 200)):
            async with connect(port) as client:
                answer = await client.ask("GET", target)
                assert (answer.status, answer.header("Connection")) == (status, "close")
                assert await client.closed()


async def test_a_fault_of_ours_tells_nothing_but_an_id() -> None:
    """The client gets a 500 with the id that stands in the log."""

    async def metrics() -> bytes:
        raise RuntimeError("secret")

    async with data_port(metrics=metrics) as port, connect(port) as client:
        answer = await client.ask("GET", "/metrics")

    assert (answer.status, answer.header("Infergate-Error")) == (500, "internal")
    assert answer.json() == {
        "error": f"internal error, see the log for {answer.header('X-Request-Id')}"
    }


async def test_health_does_not_wait_for_inference(way: str) -> None:
    """A server whose models are all stuck is live all the same."""

    async def forever(_: Exchange) -> None:
        await asyncio.Event().wait()

    models = {"m": Served(model(), ready=False)}
    async with (
        data_port(Service(before=forever), way=way, models=models) as port,
        connect(port) as stuck,
        connect(port) as client,
    ):
        await stuck.send(request("POST", INFER, body()))
        assert (await client.ask("GET", "/v2/health/live")).json() == {"live": True}
        assert (await client.ask("GET", "/v2/health/ready")).status == 503


def test_the_parser_in_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is slower by far, and takes what the one in C refuses."""
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)

    async def metrics() -> bytes:
        return b""

    with pytest.raises(RuntimeError, match="aiohttp's C parser is missing"):
        make_server(Service(), {}, metrics=metrics)
