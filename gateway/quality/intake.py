# SPDX-License-Identifier: Apache-2.0
"""Intake: where gateway processes hand over samples, on a Unix socket of the control process."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.wire.samples import LENGTH, LONGEST, decode
from gateway.wire.talks import hold_talks

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
        await hold_talks(self._path, self._talk)

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
