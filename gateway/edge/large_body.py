# SPDX-License-Identifier: Apache-2.0
"""The body of a large request: received in place, outside the fast lane's buffer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gateway.edge.fastlane import FastLane
    from gateway.edge.head import Head


class LargeBody(asyncio.BufferedProtocol):
    """Receives the rest of a large body in place, then gives the connection back."""

    def __init__(self, lane: FastLane, head: Head, begun: bytes) -> None:
        self._lane = lane
        self._head = head
        # Not a bytearray: that is filled with zeros, so that an announced length alone would take
        # the memory, and the loop the time.
        self._view = np.empty(head.length, np.uint8).data
        self._view[: len(begun)] = begun
        self._end = len(begun)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """What is still missing."""
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """Give the connection back once all is there."""
        self._end += nbytes
        if self._end == self._head.length:
            self._lane.large_received(self._head, self._view)

    def eof_received(self) -> bool:
        """Half a body is no request."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._lane.body_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read."""
        self._lane.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._lane.resume_writing()
