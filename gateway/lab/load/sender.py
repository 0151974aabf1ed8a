# SPDX-License-Identifier: Apache-2.0
"""Sender: the seam between when a request is sent and by which protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Sender(Protocol):
    """Sends requests, and writes what became of them into a recorder."""

    # Makes a request of the number of its input, when it is sent: those that wait take no memory.
    fill: Callable[[int], bytes]
    # Called with the instant whenever a request has ended, whatever became of it.
    ended: Callable[[int], None]
    # Whether the last one ended without a connection.
    failing: bool

    def offer(self, due: int, number: int) -> None:
        """Send input *number*, which was meant to be sent at *due*, as soon as can be."""

    def expire(self, now: int) -> None:
        """End what has taken longer than the timeout."""

    def cut(self, now: int) -> None:
        """End everything that is still in flight, as not waited for."""

    @property
    def pending(self) -> int:
        """How many requests were offered and have not ended."""

    async def open(self) -> None:
        """Get ready to send; raises LabError where the server cannot be reached."""

    async def close(self) -> None:
        """Give everything back."""
