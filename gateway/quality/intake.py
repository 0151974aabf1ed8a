# SPDX-License-Identifier: Apache-2.0
"""Intake: where gateway processes hand over samples, on a Unix socket of the control process."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.wire.orders import listen_for_orders
from gateway.wire.samples import LENGTH, LONGEST, decode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.wire.samples import Message

log: Final = logging.getLogger(__name__)


class Intake:
    """Gives each message that comes in at *path* to *take*, in order for each connection."""

    def __init__(self, path: Path, take: Callable[[Message], None]) -> None:
        self._path = path
        self._take = take

    def __repr__(self) -> str:
        return f"<Intake {self._path}>"

    async def run(self) -> None:
        """Listen until cancelled."""
        talks: set[asyncio.Task[None]] = set()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Not left to the streams, which log a task that is cancelled at the end as a fault.
            task = asyncio.create_task(self._talk(reader, writer))
            talks.add(task)
            task.add_done_callback(talks.discard)

        server = await asyncio.start_unix_server(
            begin, sock=listen_for_orders(self._path), limit=1 << 20
        )
        try:
            async with server:
                await server.serve_forever()
        finally:
            for task in talks:
                task.cancel()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                if length > LONGEST:
                    raise ValueError(f"a message of {length} bytes; at most {LONGEST} are taken")  # noqa: TRY301 - one way out
                self._take(decode(await reader.readexactly(length)))
        except asyncio.IncompleteReadError:
            pass  # the process has ended, or will connect again
        except (OSError, ValueError) as error:
            log.warning("samples cannot be read: %s", error)
        finally:
            writer.close()
