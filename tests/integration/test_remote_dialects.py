# SPDX-License-Identifier: Apache-2.0
"""Servers of several products behind a URL: what each says of its health and takes as a body."""

from __future__ import annotations

import json
from time import perf_counter

import pytest

from gateway.errors import ConnectFailed, InvalidRequest
from gateway.wire.message import RequestedOutput
from gateway.wire.model import ModelInfo, TensorSpec
from tests.support.dialects import DIALECTS, KSERVE, TRITON, Dialect
from tests.support.scripted_server import ScriptedServer
from tests.support.transports import link
from tests.support.upstream import MODEL, request, values

EVERY = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


@EVERY
async def test_is_met_and_asked_in_its_own_way(dialect: Dialect) -> None:
    """Bytes where it advertises them, JSON where not; never a version that nobody asked for."""
    async with ScriptedServer(dialect) as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        assert server.pings.qsize() == 3
        answer = transport.send(request(1, 2, outputs=(RequestedOutput("y"),)))
        asked = await server.requests.get()
        assert asked.binary == ("binary_tensor_data" in dialect.extensions)
        flag = {"parameters": {"binary_data": True}} if asked.binary else {}
        assert asked.document["outputs"] == [{"name": "y", **flag}]
        asked.respond()
        assert values(await answer) == [1, 2]
        assert not [path for path in server.paths if "versions" in path]


@EVERY
async def test_its_word_for_not_ready_is_understood(dialect: Dialect) -> None:
    """From the start, and later: nothing is sent meanwhile, and it is met again afterwards."""
    async with ScriptedServer(dialect) as server:
        server.ready = False
        async with link(server) as (transport, upcalls):
            await server.visited("/v2/models/m/ready", 2)
            assert upcalls.told.empty()
            server.ready = True
            assert await upcalls.told.get() == "up"
            server.ready = False
            with pytest.raises(ConnectFailed, match="says"):
                await transport.probe()
            assert await upcalls.told.get() == "down"
            server.ready = True
            assert await upcalls.told.get() == "up"


@pytest.mark.parametrize("status", [200, 204])
@pytest.mark.parametrize("body", [b"", b"ok", b'{"live":true}', b'{"ready":true}'])
async def test_every_good_status_is_ready(status: int, body: bytes) -> None:
    """Whatever the body is."""
    async with ScriptedServer() as server:
        server.pages["/v2/models/m/ready"] = (status, b"" if status == 204 else body)
        async with link(server) as (_, upcalls):
            assert await upcalls.told.get() == "up"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 429, 500, 501, 503, 302])
async def test_every_other_status_is_not_ready(status: int) -> None:
    """It is asked again until it is."""
    async with ScriptedServer() as server:
        server.pages["/v2/models/m/ready"] = (status, b'{"error":"not now"}')
        async with link(server) as (_, upcalls):
            await server.visited("/v2/models/m/ready", 2)
            assert upcalls.told.empty()
            del server.pages["/v2/models/m/ready"]
            assert await upcalls.told.get() == "up"


@pytest.mark.parametrize("status", [400, 404, 405, 501])
async def test_a_server_without_a_page_of_its_own_gets_json(status: int) -> None:
    """Nothing is known of it but the protocol."""
    async with ScriptedServer(TRITON) as server:
        server.pages["/v2"] = (status, b"")
        async with link(server) as (transport, upcalls):
            await upcalls.told.get()
            answer = transport.send(request(3))
            asked = await server.requests.get()
            assert not asked.binary
            asked.respond()
            assert values(await answer) == [3]


async def test_a_deadline_is_told_in_every_way_that_a_server_understands() -> None:
    """The header, and the protocol's parameter where the server schedules by it."""
    for dialect in (TRITON, KSERVE):
        async with ScriptedServer(dialect) as server, link(server) as (transport, upcalls):
            await upcalls.told.get()
            asked = request(1, deadline=perf_counter() + 50)
            asked.priority = 2
            answer = transport.send(asked)
            received = await server.requests.get()
            parameters = received.document.get("parameters", {})
            if dialect is TRITON:
                assert 40e6 < parameters["timeout"] <= 50e6
                assert parameters["priority"] == 2
            else:
                assert parameters == {}
            assert 40e6 < received.budget <= 50e6
            received.respond()
            await answer


async def test_a_400_of_a_model_that_is_not_ready_blames_nobody() -> None:
    """Triton and MLServer say 400 for both; the readiness tells them apart."""
    async with ScriptedServer(TRITON) as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        answer = transport.send(request())
        asked = await server.requests.get()
        server.ready = False
        asked.reply(400, b'{"error":"Request for unknown model"}')
        with pytest.raises(ConnectFailed, match="not ready"):
            await answer
        assert await upcalls.told.get() == "down"
        server.ready = True
        assert await upcalls.told.get() == "up"
        answer = transport.send(request())
        (await server.requests.get()).reply(400, b'{"error":"unexpected shape"}')
        with pytest.raises(InvalidRequest, match="unexpected shape"):
            await answer
        assert upcalls.told.empty()


async def test_a_larger_request_than_the_server_takes_is_sent_in_parts() -> None:
    """One after the other, and their answers are put together."""
    async with ScriptedServer(TRITON) as server:
        server.config["max_batch_size"] = 2
        async with link(server) as (transport, upcalls):
            await upcalls.told.get()
            asked = request(1, 2, 3, 4, 5)
            answer = transport.send(asked)
            for rows in (2, 2, 1):
                received = await server.requests.get()
                assert received.inputs[0].shape == (rows, 2)
                received.respond()
            assert values(await answer) == [1, 2, 3, 4, 5]
            assert asked.trace.batch_rows == 2


async def test_a_model_without_batches_is_none_here() -> None:
    """A free first dimension alone does not make rows independent where the server says more."""
    async with ScriptedServer(TRITON) as server:
        server.config = {"max_batch_size": 0, "instance_group": [{"count": 3, "gpus": [0, 1]}]}
        async with link(server) as (_, upcalls):
            await upcalls.told.get()
            assert upcalls.info is not None
            assert not upcalls.info.batched
            assert upcalls.info.parallelism == 6


async def test_headers_of_the_operator_go_with_every_call() -> None:
    """A gateway in front of the server may ask for them."""
    async with ScriptedServer() as server:
        secret = {"Authorization": "Bearer secret"}
        async with link(server, headers=secret) as (transport, upcalls):
            await upcalls.told.get()
            answer = transport.send(request(4))
            asked = await server.requests.get()
            assert asked.headers["authorization"] == "Bearer secret"
            assert asked.headers["accept-encoding"] == "identity"
            assert "cookie" not in asked.headers
            asked.respond()
            assert values(await answer) == [4]


async def test_a_model_that_takes_no_made_up_input_is_probed_by_its_readiness() -> None:
    """KServe says 500 to whatever it does not like."""
    async with ScriptedServer(KSERVE, answers_probes=False) as server:
        server.refuses_made_up = 500
        async with link(server) as (transport, upcalls):
            assert await upcalls.told.get() == "up"
            tries = server.pings.qsize()
            assert await transport.probe() >= 0
            assert server.pings.qsize() == tries


async def test_a_model_that_took_the_made_up_input_must_go_on_taking_it() -> None:
    """Ready, and failing every inference, is not healthy."""
    async with ScriptedServer(KSERVE) as server, link(server) as (transport, upcalls):
        await upcalls.told.get()
        assert await transport.probe() > 0
        server.refuses_made_up = 500
        with pytest.raises(Exception, match="500"):
            await transport.probe()


async def test_a_larger_made_up_input_is_tried_where_the_smallest_is_none() -> None:
    """A picture of one pixel is nothing to a model of pictures."""
    image = ModelInfo(
        "m", "1", "p", "", (TensorSpec("x", "FP32", (-1, -1)),), MODEL.outputs, batched=True
    )
    async with ScriptedServer(TRITON, info=image, answers_probes=False) as server:
        server.least_made_up = 32 * 4
        async with link(server) as (_, upcalls):
            await upcalls.told.get()
            assert server.pings.qsize() == 1 + 3


async def test_metadata_that_describes_nothing_is_not_served() -> None:
    """KServe's default for a model of one's own."""
    async with ScriptedServer(KSERVE) as server:
        empty = {"name": "m", "platform": "", "inputs": [], "outputs": []}
        server.pages["/v2/models/m"] = (200, json.dumps(empty).encode())
        async with link(server) as (_, upcalls):
            await server.visited("/v2/models/m", 2)
            assert upcalls.told.empty()
