# SPDX-License-Identifier: Apache-2.0
"""Outlet: the way of samples from this process to the control process, over a Unix socket.

Nobody answers on it. What waits is bounded, so a control process that is gone, slow or frozen costs
samples and nothing else: the newest are dropped, and counted by whoever offered them. A message
that was only written in part is sent again over the next connection; what the kernel had taken of
a control process that dies, a few hundred kilobytes at most, is lost without a trace.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import TYPE_CHECKING, Final

from gateway.wire.orders import reachable

if TYPE_CHECKING:
    from pathlib import Path

# Bytes that may wait: minutes of most models, a few seconds of the quickest with full logging.
MOST_BYTES: Final = 32 << 20
# Seconds between two attempts to connect.
PAUSE: Final = 0.1


class Outlet:
    """Sends what it is given to the socket at *path*, in order, as soon as somebody listens."""

    def __init__(self, path: Path, *, most: int = MOST_BYTES, pause: float = PAUSE) -> None:
        self._path = path
        self._most = most
        self._pause = pause
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._offered = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()
        # Whether somebody listens.
        self.up = False

    def __repr__(self) -> str:
        state = "up" if self.up else "down"
        return f"<Outlet {state} {len(self._waiting)} waiting, {self._bytes} bytes>"

    def offer(self, message: bytes) -> bool:
        """Have *message* sent; False where there is no room, and it is dropped."""
        if self._bytes + len(message) > self._most:
            return False
        self._bytes += len(message)
        self._waiting.append(message)
        self._sent.clear()
        self._offered.set()
        return True

    async def emptied(self) -> None:
        """Wait until nothing waits to be sent."""
        await self._sent.wait()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            try:
                connected = await self._connect()
            except OSError:
                await asyncio.sleep(self._pause)
                continue
            try:
                self.up = True
                await self._send(connected)
            except OSError:
                pass  # the control process ended; another one will listen
            finally:
                self.up = False
                connected.close()
            await asyncio.sleep(self._pause)

    async def _connect(self) -> socket.socket:
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.settimeout(0)
            with reachable(self._path) as name:
                await asyncio.get_running_loop().sock_connect(connected, name)
        except BaseException:
            connected.close()
            raise
        return connected

    async def _send(self, connected: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while self._waiting:
                message = self._waiting[0]
                await loop.sock_sendall(connected, message)
                self._waiting.popleft()
                self._bytes -= len(message)
            self._sent.set()
            self._offered.clear()
            await self._offered.wait()
