# SPDX-License-Identifier: Apache-2.0
"""Servers that refuse, hang, reset, and come back: as themselves, or as somebody else."""

from __future__ import annotations

import asyncio
from time import perf_counter

import msgspec
import pytest

from gateway.errors import (
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    UpstreamError,
)
from gateway.upstream.caller import Refused
from tests.support.dialects import KSERVE, TRITON
from tests.support.scripted_server import ScriptedServer
from tests.support.transports import link
from tests.support.upstream import MODEL, request, values


async def test_a_server_that_is_not_there_is_met_when_it_comes() -> None:
    """Until then every request finds out at once."""
    async with ScriptedServer() as server:
        server.stop()
        async with link(server) as (transport, upcalls):
            with pytest.raises(ConnectFailed, match="not ready"):
                await transport.send(request())
            await server.listen()
            assert await upcalls.told.get() == "up"


async def test_a_server_that_takes_no_more_connections_may_finish_what_it_has() -> None:
    """As one does that ends in order: its answers are still of use."""
    async with ScriptedServer() as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        first = transport.send(request(1))
        asked = await server.requests.get()
        server.refuse()
        with pytest.raises(Refused):
            await transport.send(request(2))
        assert await upcalls.told.get() == "down"
        asked.respond()
        assert values(await first) == [1]


async def test_a_reset_loses_the_request_and_no_other() -> None:
    """The others are on connections of their own, and the server lives on."""
    async with ScriptedServer() as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        # Both connections are new, so that nothing can be taken for one that was kept too long.
        transport._caller.distrust()  # type: ignore[attr-defined]
        first, second = transport.send(request(1)), transport.send(request(2))
        received = [await server.requests.get(), await server.requests.get()]
        received.sort(key=lambda asked: float(asked.inputs[0].array()[0, 0]))
        received[0].abort()
        with pytest.raises(ConnectionLost, match="went away"):
            await first
        received[1].respond()
        assert values(await second) == [2]
        assert upcalls.told.empty()


async def test_a_kept_connection_that_was_closed_blames_nobody() -> None:
    """It is an error of its own kind, since the request did nothing to the server."""
    async with ScriptedServer() as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        waiting = transport.send(request())
        # The connection that the warm-up left behind; the server gives it up unanswered.
        (await server.requests.get()).close()
        with pytest.raises(UpstreamError, match="was kept") as raised:
            await waiting
        assert type(raised.value) is UpstreamError
        waiting = transport.send(request(2))
        (await server.requests.get()).respond()
        assert values(await waiting) == [2]


async def test_a_server_that_dies_of_a_request_is_told_from_that() -> None:
    """On a connection that was kept just as on a new one: it does not come back."""
    async with ScriptedServer() as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        waiting = transport.send(request())
        await server.requests.get()
        server.stop()
        with pytest.raises(ConnectionLost):
            await waiting
        assert await upcalls.told.get() == "down"


async def test_a_server_that_hangs_costs_no_more_than_the_deadline() -> None:
    """And its connection is closed, which is how HTTP cancels."""
    async with ScriptedServer() as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        waiting = transport.send(request(deadline=perf_counter() + 0.02))
        with pytest.raises(DeadlineExceeded, match="the deadline passed"):
            await waiting
        await server.cancels.get()


async def test_a_server_that_accepts_and_says_nothing_is_not_met() -> None:
    """Whoever waits for it is cancelled with its connection."""
    async with ScriptedServer(greets=False) as server, link(server) as (transport, upcalls):
        await server.visited("/v2", 1)
        with pytest.raises(ConnectFailed):
            await transport.send(request())
        assert upcalls.told.empty()


@pytest.mark.parametrize("what", ["server", "shape", "name", "model"])
async def test_somebody_else_at_the_address_is_noticed_by_a_probe(what: str) -> None:
    """A new life begins, or none: what is asked of the one is not sent to the other."""
    async with ScriptedServer(KSERVE) as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        if what == "server":
            server.instance = "2"
        elif what == "shape":
            (spec,) = MODEL.outputs
            other = msgspec.structs.replace(spec, name="other")
            server.info = msgspec.structs.replace(MODEL, outputs=(spec, other))
            server.refuses_made_up = 500
        elif what == "name":
            server.pages["/v2/models/m"] = (200, b'{"name":"n","platform":""}')
        else:
            server.pages["/v2/models/m/ready"] = (404, b"")
        with pytest.raises(UpstreamError):
            await transport.probe()
        assert await upcalls.told.get() == "down"
        if what in {"server", "shape"}:
            assert await upcalls.told.get() == "up"
            assert len(set(upcalls.instances)) == 2
        else:
            await server.visited("/v2/models/m/ready", 4)
            assert upcalls.told.empty()


async def test_another_version_in_an_answer_has_the_model_looked_at() -> None:
    """Without waiting for the next probe, and once only for each life."""
    async with ScriptedServer(TRITON) as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        server.info = msgspec.structs.replace(MODEL, version="2")
        waiting = transport.send(request(3))
        asked = await server.requests.get()
        asked.respond()
        assert values(await waiting) == [3]
        assert await upcalls.told.get() == "down"
        assert await upcalls.told.get() == "up"
        assert upcalls.info is not None
        assert upcalls.info.version == "2"


async def test_a_404_of_the_model_ends_it_for_now() -> None:
    """Nothing was computed, so the request goes elsewhere at once."""
    async with ScriptedServer() as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        waiting = transport.send(request())
        server.ready = False
        (await server.requests.get()).reply(404, b'{"error":"no such model"}')
        with pytest.raises(ConnectFailed, match="no such model"):
            await waiting
        assert await upcalls.told.get() == "down"
        server.ready = True
        assert await upcalls.told.get() == "up"


async def test_a_made_up_input_that_kills_is_not_sent_for_ever() -> None:
    """Twice may be chance."""
    async with ScriptedServer(answers_probes=False) as server, link(server) as (_, upcalls):
        server.kills_on_made_up = True
        assert await upcalls.told.get() == "up"
        assert server.pings.qsize() == 2


async def test_there_are_no_more_connections_than_requests_at_a_time() -> None:
    """They are used again, however many requests there are in all."""
    async with ScriptedServer() as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        for _ in range(20):
            answers = [transport.send(request(number)) for number in range(1, 5)]
            for _ in answers:
                (await server.requests.get()).respond()
            await asyncio.gather(*answers)
        assert server.accepted.qsize() <= 5
        assert server.most_connections <= 5


async def test_an_idle_connection_is_given_up_before_the_server_does() -> None:
    """The one that uses it again must be the one that closes it."""
    async with ScriptedServer() as server, link(server, idle_timeout=0.01) as (_, upcalls):
        await upcalls.told.get()
        await server.left.wait()
