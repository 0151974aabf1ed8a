# SPDX-License-Identifier: Apache-2.0
"""Gate: how many exchanges are inside, and whether new ones may enter."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.stages.overload import Overload


class Gate:
    """One for all protocols: `Observe` counts who is inside, `Admission` looks who may be.

    *overload* is why nobody may enter now, None while all may. While *parting*, the edge closes
    every connection behind its answer: the process drains, or is short of something.
    """

    def __init__(self) -> None:
        self.inside = 0
        self.closed = False
        self.overload: Overload | None = None
        self.parting = False
        self.strained = False
        self._draining = False
        self._empty: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        state = "closed" if self.closed else repr(self.overload) if self.overload else "open"
        return f"<Gate {state} inside={self.inside}{' parting' if self.parting else ''}>"

    @property
    def draining(self) -> bool:
        """Whether this process is about to end."""
        return self._draining

    def drain(self) -> None:
        """Part with every client, for good."""
        self._draining = self.parting = True

    def strain(self, *, strained: bool) -> None:
        """Part with clients while *strained*."""
        self.strained = strained
        self.parting = strained or self._draining

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
