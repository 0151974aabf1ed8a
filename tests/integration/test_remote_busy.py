# SPDX-License-Identifier: Apache-2.0
"""Servers that are busy or failing: what they say is kept, and obeyed."""

from __future__ import annotations

import pytest

from gateway.errors import (
    AttemptTimeout,
    BadAnswer,
    Busy,
    ConnectionLost,
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    PoisonInput,
    TooLarge,
    Unsupported,
    UpstreamError,
)
from tests.support.scripted_server import ScriptedServer
from tests.support.transports import link
from tests.support.upstream import request, values


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (400, {}, InvalidRequest),
        (401, {}, UpstreamError),
        (403, {}, UpstreamError),
        (408, {}, UpstreamError),
        (413, {}, TooLarge),
        (415, {}, InvalidRequest),
        (422, {}, InvalidRequest),
        (424, {}, UpstreamError),
        (429, {}, Busy),
        (500, {}, UpstreamError),
        (501, {}, Unsupported),
        (502, {}, UpstreamError),
        (503, {}, UpstreamError),
        (503, {"Retry-After": "2"}, Busy),
        (504, {}, AttemptTimeout),
        (301, {"Location": "/elsewhere"}, BadAnswer),
        (400, {"Infergate-Error": "invalid_request"}, InvalidRequest),
        (502, {"Infergate-Error": "upstream_failed"}, UpstreamError),
        (502, {"Infergate-Error": "poison_input"}, PoisonInput),
        (503, {"Infergate-Error": "overloaded"}, Busy),
        (504, {"Infergate-Error": "deadline_exceeded"}, DeadlineExceeded),
    ],
    ids=str,
)
async def test_a_status_keeps_its_meaning_and_its_words(
    status: int, headers: dict[str, str], kind: type[GatewayError]
) -> None:
    """The next request is served, whatever it was."""
    async with ScriptedServer() as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        waiting = transport.send(request())
        (await server.requests.get()).reply(status, b'{"error":"the reason"}', headers)
        with pytest.raises(kind, match="the reason" if status != 301 else "redirect") as raised:
            await waiting
        assert type(raised.value) is kind
        waiting = transport.send(request(2))
        (await server.requests.get()).respond()
        assert values(await waiting) == [2]
        assert upcalls.told.empty()


async def test_the_time_to_spare_a_server_comes_with_the_error() -> None:
    """In whole seconds, and within reason."""
    async with ScriptedServer() as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        for told, seconds in (("7", 7.0), ("0", 0.05), ("99999", 30.0)):
            waiting = transport.send(request())
            asked = await server.requests.get()
            asked.reply(429, b"", {"Retry-After": told})
            with pytest.raises(Busy) as raised:
                await waiting
            assert raised.value.retry_after == seconds


async def test_a_poisonous_batch_is_not_yet_the_fault_of_all() -> None:
    """Alone each of its members gets its own verdict."""
    async with ScriptedServer() as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        merged = request(1, 2)
        merged.members = 2
        waiting = transport.send(merged)
        (await server.requests.get()).fail("poison_input")
        with pytest.raises(ConnectionLost):
            await waiting


async def test_a_probe_takes_a_busy_server_for_alive() -> None:
    """To take it out for that would put its load on the others."""
    async with ScriptedServer() as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        server.refuses_made_up = 429
        assert await transport.probe() > 0
