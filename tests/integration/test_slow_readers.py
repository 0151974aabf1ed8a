# SPDX-License-Identifier: Apache-2.0
"""A client that asks and does not read what it is answered."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.dataport import WAYS, DataPort, open_data_port
from tests.support.http import connect, request, until
from tests.support.slow import LARGE_ANSWER, Answering, connect_without_reading

INFER = "/v2/models/m/infer"


async def gone(port: DataPort) -> None:
    """Wait until no connection is left."""
    await until(lambda: not port.connections)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}], ids=["keep", "close"])
async def test_an_answer_that_is_not_read_has_its_time(way: str, headers: dict[str, str]) -> None:
    """The connection is aborted; one that would be closed waits for its reader all the same."""
    service = Answering(LARGE_ANSWER)
    async with (
        open_data_port(service, way=way, answer_timeout=0.3) as port,
        connect_without_reading(port.port) as client,
    ):
        await client.send(request("POST", INFER, b"{}", headers))
        assert await port.slow.get() == "answer"
        assert service.asked == 1
        assert port.held > 0
        await gone(port)


@pytest.mark.parametrize("way", WAYS)
async def test_one_answer_at_most_waits_for_its_reader(way: str) -> None:
    """Requests sent ahead of it are not begun, so that a client cannot pile up memory."""
    service = Answering(LARGE_ANSWER)
    async with (
        open_data_port(service, way=way, answer_timeout=0.5) as port,
        connect_without_reading(port.port) as client,
    ):
        await client.send(request("POST", INFER, b"{}") * 20)
        assert await port.slow.get() == "answer"
        assert service.asked == 1
        assert 0 < port.held <= LARGE_ANSWER + 1024
        await gone(port)


@pytest.mark.parametrize("way", WAYS)
async def test_small_answers_pile_up_no_further(way: str) -> None:
    """What the kernel does not take stops the next request, however small the answers are."""
    service = Answering(1000)
    async with (
        open_data_port(service, way=way, answer_timeout=0.5) as port,
        connect_without_reading(port.port) as client,
    ):
        asking = asyncio.ensure_future(client.send(request("POST", INFER, b"{}") * 200_000))
        assert await port.slow.get() == "answer"
        assert port.held < 4096
        assert service.asked < 100_000
        await gone(port)
        await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("way", WAYS)
async def test_others_are_served_meanwhile(way: str) -> None:
    """Who does not read holds up nobody else."""
    service = Answering(LARGE_ANSWER)
    async with (
        open_data_port(service, way=way, answer_timeout=0.5) as port,
        connect_without_reading(port.port) as slow,
    ):
        await slow.send(request("POST", INFER, b"{}"))
        await until(lambda: port.unsent() > 0)
        async with connect(port.port) as quick:
            assert len((await quick.ask("POST", INFER, b"{}")).body) == LARGE_ANSWER
        assert await port.slow.get() == "answer"


@pytest.mark.parametrize("way", WAYS)
async def test_a_reader_that_comes_back_gets_all(way: str) -> None:
    """Within its time a pause costs nothing, and the connection goes on."""
    service = Answering(LARGE_ANSWER)
    async with (
        open_data_port(service, way=way) as port,
        connect_without_reading(port.port) as client,
    ):
        for _ in range(2):
            await client.send(request("POST", INFER, b"{}"))
            await until(lambda: port.unsent() > 0)
            assert len((await client.receive()).body) == LARGE_ANSWER
        assert port.slow.empty()
        assert port.connections == 1
