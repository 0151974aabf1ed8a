# SPDX-License-Identifier: Apache-2.0
"""Memory: golden answers, and which model file had which digest, as far as they are kept."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from gateway.quality.database import Unusable
from gateway.quality.probes.golden import Golden

if TYPE_CHECKING:
    from collections.abc import Awaitable

log: Final = logging.getLogger(__name__)

# Golden answers above this size are not kept in the ledger.
_MOST_BYTES: Final = 64 << 20


class Keeper(Protocol):
    """What outlives this process: the ledger."""

    def keep(self, name: str, data: bytes | None) -> Awaitable[None]:
        """Keep *data* as *name*; None forgets it. Raises Unusable."""
        ...

    def kept(self, name: str) -> Awaitable[bytes | None]:
        """What was kept as *name*; raises Unusable."""
        ...


class Memory:
    """Golden answers and bindings by name; *keeper* has them beyond the life of this process.

    Where the ledger cannot be used, what was found lasts as long as this process.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._golden: dict[str, Golden] = {}
        self._texts: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Memory of {len(self._golden)} golden runs>"

    async def golden(self, name: str) -> Golden | None:
        """The golden answers *name*, None where there are none."""
        found = self._golden.get(name)
        if found is None and (data := await self._kept(f"{name}/golden")) is not None:
            try:
                found = self._golden[name] = Golden.unpack(data)
            except ValueError as error:
                log.warning(
                    "%s is kept in a form that is not known, and made anew: %s", name, error
                )
        return found

    async def set_golden(self, name: str, golden: Golden | None) -> None:
        """Keep *golden* as *name*; None forgets it."""
        self._golden.pop(name, None)
        if golden is not None:
            self._golden[name] = golden
        data = None if golden is None else golden.pack()
        if data is not None and len(data) > _MOST_BYTES:
            log.warning(
                "golden answers of %d bytes last as long as the control process: probe fewer rows",
                len(data),
            )
            return
        await self._keep(f"{name}/golden", data)

    async def text(self, name: str) -> str:
        """The text *name*, "" where there is none."""
        if not self._texts.get(name):
            data = await self._kept(name)
            self._texts[name] = "" if data is None else data.decode("utf-8", "replace")
        return self._texts[name]

    async def set_text(self, name: str, text: str) -> None:
        """Keep *text* as *name*; "" forgets it."""
        if self._texts.get(name) != text:
            self._texts[name] = text
            await self._keep(name, text.encode() or None)

    async def _kept(self, name: str) -> bytes | None:
        try:
            return await self._keeper.kept(name)
        except Unusable as error:
            log.warning("what probes have kept cannot be read: %s", error)
            return None

    async def _keep(self, name: str, data: bytes | None) -> None:
        try:
            await self._keeper.keep(name, data)
        except Unusable as error:
            log.warning("what probes have found is lost with this process: %s", error)
