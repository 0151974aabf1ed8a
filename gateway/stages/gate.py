# SPDX-License-Identifier: Apache-2.0
"""Gate: how many exchanges are inside, and whether new ones may enter."""

from __future__ import annotations

import asyncio


class Gate:
    """One for all protocols: `Observe` counts who is inside, `Admission` looks who may be."""

    def __init__(self) -> None:
        self.inside = 0
        self.closed = False
        self._empty: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Gate {'closed' if self.closed else 'open'} inside={self.inside}>"

    def emptied(self) -> None:
        """The last one has left."""
        if self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    async def wait_empty(self) -> None:
        """Wait until nobody is inside; only useful once closed, or while nobody new comes."""
        while self.inside:
            if self._empty is None or self._empty.done():
                self._empty = asyncio.get_running_loop().create_future()
            # Shielded, because others may wait for the same.
            await asyncio.shield(self._empty)
