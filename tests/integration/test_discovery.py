# SPDX-License-Identifier: Apache-2.0
"""A name whose addresses change under load: servers and workers come, go, and cost no answer."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from gateway.config.load import read
from gateway.pools import Name, make_pool
from gateway.stages.balance import Balance
from gateway.stages.batch import Batch
from gateway.stages.retry import Retry
from gateway.telemetry import Telemetry
from gateway.wire.generation import Generation
from tests.support.scripted_server import ScriptedServer
from tests.support.upstream import request, settle, values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.upstream.pool import Pool

# Every one of them is this machine, so that one port can have a server at each.
ADDRESSES: Final = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


class Names:
    """A name server whose answer a test changes; each change is waited for."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: tuple[str, ...] = addresses
        self.error: OSError | None = None
        self.asked = asyncio.Event()

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        """What there is now."""
        assert host == "models.svc"
        self.asked.set()
        if self.error is not None:
            raise self.error
        return self.addresses

    async def answered(self, times: int) -> None:
        """Wait until it has been asked *times* times from now."""
        for _ in range(times):
            self.asked.clear()
            await self.asked.wait()
        await settle()


@asynccontextmanager
async def following(names: Names, port: int) -> AsyncIterator[tuple[Pool, Batch, Telemetry]]:
    """A model's pool and stack over whatever *names* says."""
    text = f"{{url: 'http://models.svc:{port}', resolve: 100ms}}"
    config = read(f"models: {{m: {{backends: [{text}]}}}}", name="f", files=False).models["m"]
    telemetry = Telemetry(models=["m"])
    pool = make_pool("m", config, telemetry=telemetry)
    (backend,) = config.backends
    settings = Generation(1, "f").setting
    pool.follow(Name(backend, config, pool, settings=settings, resolver=names))
    retry = Retry(Balance(pool), model="m", telemetry=telemetry)
    batch = Batch(retry, model="m", pool=pool, telemetry=telemetry)
    running = asyncio.ensure_future(pool.run(interval=0.05, timeout=1, jitter=0))
    try:
        yield pool, batch, telemetry
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def servers(stack: AsyncExitStack, *hosts: str) -> dict[str, ScriptedServer]:
    """A server at each of *hosts*, all on one port, which answer by themselves."""
    found: dict[str, ScriptedServer] = {}
    port = 0
    for host in hosts:
        server = ScriptedServer()
        server.host, server.port = host, port
        server.answers_all = True
        await stack.enter_async_context(server)
        port = server.port
        found[host] = server
    return found


async def up(pool: Pool, count: int) -> None:
    """Wait until *pool* has so many endpoints, all of them ready."""
    changed = asyncio.Event()
    end = pool.on_change(changed.set)
    while len(pool.endpoints) != count or not all(each.healthy for each in pool.endpoints):
        changed.clear()
        await changed.wait()
    end()


async def test_servers_come_and_go_with_the_addresses_of_their_name() -> None:
    """Each gets its part, what goes gets nothing more, and no request is lost."""
    async with AsyncExitStack() as stack:
        far = await servers(stack, *ADDRESSES)
        names = Names(ADDRESSES[0])
        async with following(names, far[ADDRESSES[0]].port) as (pool, batch, telemetry):
            await up(pool, 1)
            asked = 0

            async def ask(times: int) -> None:
                nonlocal asked
                for _ in range(times):
                    number = asked = asked + 1
                    assert values(await batch(request(number))) == [number]

            await ask(20)
            names.addresses = ADDRESSES
            await names.answered(1)
            await up(pool, 3)
            (first,) = [each for each in pool.endpoints if each.name.endswith("#127.0.0.1")]
            assert first.attempts == 20
            await asyncio.gather(*(ask(1) for _ in range(60)))
            await ask(60)
            assert all(each.attempts for each in pool.endpoints)
            names.addresses = ADDRESSES[1:]
            loading = asyncio.ensure_future(ask(200))
            await names.answered(3)
            await loading
            await pool.emptied()
            served = far[ADDRESSES[0]].served
            await ask(40)
            assert far[ADDRESSES[0]].served == served
            assert len(pool.endpoints) == 2
            assert sum(server.served for server in far.values()) == asked
            gone = [v for v in telemetry.attempts.cells if v[1].endswith("#127.0.0.1")]
            assert gone == []
            assert first.pending == 0


async def test_a_name_server_that_fails_changes_nothing() -> None:
    """What was known last serves on."""
    async with AsyncExitStack() as stack:
        far = await servers(stack, *ADDRESSES[:2])
        names = Names(*ADDRESSES[:2])
        async with following(names, far[ADDRESSES[0]].port) as (pool, batch, _):
            await up(pool, 2)
            names.error = OSError("nobody is there to ask")
            await names.answered(3)
            for number in range(1, 20):
                assert values(await batch(request(number))) == [number]
            assert len(pool.endpoints) == 2


async def test_a_server_that_dies_while_its_name_still_has_it_costs_no_answer() -> None:
    """Its requests are answered by the other one."""
    async with AsyncExitStack() as stack:
        far = await servers(stack, *ADDRESSES[:2])
        async with following(Names(*ADDRESSES[:2]), far[ADDRESSES[0]].port) as (pool, batch, _):
            await up(pool, 2)
            far[ADDRESSES[0]].stop()
            for number in range(1, 40):
                assert values(await batch(request(number))) == [number]
            await far[ADDRESSES[0]].listen()
            await up(pool, 2)
