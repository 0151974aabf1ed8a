# SPDX-License-Identifier: Apache-2.0
"""Talks: a Unix socket of one process on which others talk to it, each connection by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.wire.orders import listen_for_orders

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

# Bytes that a connection reads ahead of whoever takes them.
_AHEAD: Final = 1 << 20


async def hold_talks(
    path: Path,
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]],
) -> None:
    """Listen at *path* and have *talk* for each connection, until cancelled; that ends them too."""
    talks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not left to the streams, which log a task that is cancelled at the end as a fault.
        task = asyncio.create_task(talk(reader, writer))
        talks.add(task)
        task.add_done_callback(talks.discard)

    server = await asyncio.start_unix_server(begin, sock=listen_for_orders(path), limit=_AHEAD)
    try:
        async with server:
            await server.serve_forever()
    finally:
        for task in talks:
            task.cancel()
