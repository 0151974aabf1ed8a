# SPDX-License-Identifier: Apache-2.0
"""Servers that answer what is no answer: it reaches nobody, and nobody waits for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import BadAnswer, ConnectionLost, TooLarge, UpstreamError
from tests.support.dialects import KSERVE, TRITON
from tests.support.scripted_server import LENGTH, Asked, ScriptedServer, response_bytes
from tests.support.transports import link
from tests.support.upstream import request, values

GOOD = {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 1.0]}


def answer(asked: Asked, *outputs: dict[str, Any], **fields: Any) -> bytes:
    """The body of an answer with *outputs*, and *fields* in place of the right ones."""
    told = {"id": asked.document["id"], "model_name": "m", "outputs": [*outputs]} | fields
    return json.dumps(told).encode()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": "z"}, "'y' is missing"),
        ({"datatype": "FP64"}, "'y' is FP64, the model's is FP32"),
        ({"shape": [2, 2]}, "2 elements for shape"),
        ({"shape": [1, -2]}, "impossible shape"),
        ({"shape": [2**40, 2**40]}, "impossible shape"),
        ({"data": ["a", "b"]}, "data is not FP32"),
        ({"data": [[1.0], [1.0, 2.0]]}, "data is not FP32"),
        ({"data": {}}, "data is not FP32"),
        ({"parameters": {"binary_data_size": 8}}, "binary_data_size is 8"),
        ({"parameters": {"binary_data_size": -1}}, "binary_data_size is -1"),
        ({"parameters": {"binary_data_size": True}}, "binary_data_size is True"),
    ],
    ids=lambda case: str(case)[:40],
)
async def test_an_output_that_does_not_fit_is_refused(change: dict[str, Any], match: str) -> None:
    """Names, datatypes, shapes and counts are the model's, or it is no answer of the model."""
    async with ScriptedServer(KSERVE) as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        waiting = transport.send(request())
        asked = await server.requests.get()
        asked.reply(200, answer(asked, GOOD | change))
        with pytest.raises(BadAnswer, match=match):
            await waiting


@pytest.mark.parametrize(
    ("length", "body", "match"),
    [
        ("4x", b"{}", "Content-Length is '4x'"),
        ("-1", b"{}", "Content-Length is '-1'"),
        ("3", b"{}", "Content-Length is '3', the answer has 2"),
        ("2", b"{}", "not v2"),
        ("2", b"{}12345678", "not v2"),
        ("0", b"", "not v2"),
    ],
)
async def test_a_binary_answer_of_wrong_lengths_is_refused(
    length: str, body: bytes, match: str
) -> None:
    """Lengths are checked before anything is cut."""
    async with ScriptedServer(TRITON) as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        waiting = transport.send(request())
        (await server.requests.get()).reply(200, body, {LENGTH: length})
        with pytest.raises(BadAnswer, match=match):
            await waiting


async def test_bytes_behind_the_last_output_are_refused() -> None:
    """They may be those of another answer."""
    async with ScriptedServer(TRITON) as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        waiting = transport.send(request())
        asked = await server.requests.get()
        headers, body = asked.result()
        asked.reply(200, body + b"more", headers)
        with pytest.raises(BadAnswer, match="4 bytes are left"):
            await waiting


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"id": "of somebody else"}, "to another request"),
        ({"id": None}, "to another request"),
        ({"model_name": "n"}, "of model 'n'"),
        ({"outputs": [GOOD, GOOD]}, "twice"),
        ({"outputs": None}, "not v2"),
    ],
    ids=str,
)
async def test_an_answer_of_somebody_else_is_refused(fields: dict[str, Any], match: str) -> None:
    """It says whose it is, and its server has always done so."""
    async with ScriptedServer(KSERVE) as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        waiting = transport.send(request())
        asked = await server.requests.get()
        asked.reply(200, answer(asked, GOOD, **fields))
        with pytest.raises(BadAnswer, match=match):
            await waiting


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"\x00\x01\x02 garbage\r\n\r\n", BadAnswer),
        (b"SSH-2.0-OpenSSH_9.6\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", BadAnswer),
        (response_bytes(200, b"<html>not json</html>"), BadAnswer),
        (response_bytes(200, b""), BadAnswer),
        (response_bytes(200, b"\xff\xfe"), BadAnswer),
        (response_bytes(200, b"[" * 200_000), BadAnswer),
        (response_bytes(200, b"{}", {"Content-Encoding": "gzip"}), BadAnswer),
        (response_bytes(302, b"", {"Location": "http://169.254.169.254/latest"}), BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", UpstreamError),
    ],
    ids=lambda case: str(case)[:50],
)
async def test_what_is_no_answer_fails_and_the_next_one_is_good(
    raw: bytes, kind: type[UpstreamError]
) -> None:
    """On a connection of its own."""
    async with ScriptedServer(KSERVE) as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        waiting = transport.send(request())
        (await server.requests.get()).send(raw)
        with pytest.raises(kind):
            await waiting
        waiting = transport.send(request(2))
        (await server.requests.get()).respond()
        assert values(await waiting) == [2]


@pytest.mark.parametrize("announced", [True, False])
async def test_an_answer_above_the_limit_is_not_read_to_its_end(*, announced: bool) -> None:
    """Neither where its length says so, nor where it only shows."""
    async with (
        ScriptedServer(KSERVE) as server,
        link(server, max_answer=5000) as (
            transport,
            upcalls,
        ),
    ):
        await upcalls.told.get()
        waiting = transport.send(request())
        asked = await server.requests.get()
        if announced:
            asked.reply(200, b" " * 5001)
        else:
            asked.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            asked.send(b"1389\r\n" + b" " * 5001 + b"\r\n")
        with pytest.raises(BadAnswer, match="5000"):
            await waiting
        # The client closes: what is left of the answer is of no use.
        await server.left.wait()


async def test_a_body_that_is_broken_off_is_a_loss() -> None:
    """Nobody knows what the rest would have been."""
    async with ScriptedServer(KSERVE) as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        waiting = transport.send(request())
        asked = await server.requests.get()
        asked.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"outputs":')
        asked.close()
        with pytest.raises(ConnectionLost, match="broke its answer off"):
            await waiting


async def test_what_comes_behind_an_answer_is_not_taken_for_the_next() -> None:
    """A server that sends more than it announced would be one answer ahead for ever."""
    async with ScriptedServer(KSERVE) as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        for number in range(1, 6):
            waiting = transport.send(request(number))
            asked = await server.requests.get()
            _, body = asked.result()
            stray = response_bytes(200, answer(asked, GOOD | {"data": [9.0, 9.0]}))
            asked.send(response_bytes(200, body) + stray)
            try:
                assert values(await waiting) == [number]
            except UpstreamError:
                continue  # noticed: that is an error, and not a wrong answer


async def test_an_answer_to_half_a_request_ends_the_connection() -> None:
    """The rest of the body must not become the head of the next request."""
    async with ScriptedServer(KSERVE) as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        server.refuses_bodies_above = 1 << 20
        waiting = transport.send(request(*range(300_000)))
        with pytest.raises((TooLarge, UpstreamError)):
            await waiting
        server.refuses_bodies_above = 0
        waiting = transport.send(request(2))
        (await server.requests.get()).respond()
        assert values(await waiting) == [2]
