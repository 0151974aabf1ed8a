# SPDX-License-Identifier: Apache-2.0
"""Outlet: whoever listens gets all messages in order, and nobody waits for him."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from gateway.sampling.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SIZE = 1 << 16


def message(number: int) -> bytes:
    """One that can be told from all others."""
    return number.to_bytes(4, "little") * (SIZE // 4)


@asynccontextmanager
async def running(outlet: Outlet) -> AsyncIterator[None]:
    """*outlet* at work."""
    task = asyncio.ensure_future(outlet.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Listener:
    """Listens at *path* and takes whole messages, as far as it was asked to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._streams: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            lambda *streams: self._streams.put_nowait(streams), str(self._path)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def accept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The next connection."""
        return await self._streams.get()


async def test_messages_wait_for_a_listener(tmp_path: Path) -> None:
    """And come in the order in which they were offered."""
    path = tmp_path / "s"
    outlet = Outlet(path, pause=0.01)
    async with running(outlet):
        assert all(outlet.offer(message(number)) for number in range(5))
        async with Listener(path) as listener:
            reader, writer = await listener.accept()
            for number in range(5):
                assert await reader.readexactly(SIZE) == message(number)
            await outlet.emptied()
            assert outlet.up
            writer.close()


async def test_what_finds_no_room_is_refused(tmp_path: Path) -> None:
    """Whoever offers it counts it; there is room again once the rest has gone."""
    path = tmp_path / "s"
    outlet = Outlet(path, most=3 * SIZE, pause=0.01)
    assert [outlet.offer(message(number)) for number in range(5)] == [True] * 3 + [False] * 2

    async with running(outlet), Listener(path) as listener:
        reader, writer = await listener.accept()
        await reader.readexactly(3 * SIZE)
        await outlet.emptied()
        assert outlet.offer(message(9))
        assert await reader.readexactly(SIZE) == message(9)
        writer.close()


async def test_a_message_that_was_cut_off_comes_again(tmp_path: Path) -> None:
    """Whole, over the next connection; those that had gone out do not."""
    path = tmp_path / "s"
    outlet = Outlet(path, pause=0.01)
    count = 64  # more than a socket's buffer takes
    async with running(outlet), Listener(path) as listener:
        for number in range(count):
            outlet.offer(message(number))
        reader, writer = await listener.accept()
        await reader.readexactly(SIZE + 100)
        writer.close()

        reader, writer = await listener.accept()
        first = int.from_bytes((await reader.readexactly(SIZE))[:4], "little")
        assert first > 0
        for number in range(first + 1, count):
            assert await reader.readexactly(SIZE) == message(number)
        writer.close()
