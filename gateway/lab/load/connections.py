# SPDX-License-Identifier: Apache-2.0
"""Connections: requests over HTTP/1.1, one at a time on each of a pool of connections.

A request that finds no free connection opens one, up to the limit; beyond it, it waits its turn in
a queue, and is late by the server's fault: its time counts from when it was meant to be sent.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from gateway.lab import LabError
from gateway.lab.load.exchange import Exchange
from gateway.lab.load.recorder import CODES, TIMEOUT

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from gateway.lab.load.recorder import Recorder

_CONNECT: Final = CODES["connect"]
_CUT: Final = CODES["cut"]
_RESET: Final = CODES["reset"]


class Connections:
    """Sends requests to *host*:*port*; see `sender.Sender`.

    *limit* connections are open at a time, a *timeout* in seconds counts from when a request was
    due. With *fresh* each request opens a connection of its own, and the time for that is its own.
    """

    def __init__(
        self,
        recorder: Recorder,
        host: str,
        port: int,
        *,
        limit: int,
        timeout: float,
        fresh: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.recorder = recorder
        self.ended: Callable[[int], None] = _nothing
        self.failing = False
        self._host = host
        self._port = port
        self._address = host
        self._limit = limit
        self._timeout = round(timeout * 1e9)
        self._fresh = fresh
        self._tls = tls
        self.fill: Callable[[int], bytes] = _empty
        # When each was due and taken up, and the number of its input.
        self._queue: deque[tuple[int, int, int]] = deque()
        self._free: list[Exchange] = []
        self._all: set[Exchange] = set()
        # Those that are being opened, with the exchange that each is for.
        self._opening: dict[asyncio.Task[object], Exchange] = {}
        self._busy = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Connections {len(self._all)}, {self._busy} busy, {len(self._queue)} wait>"

    @property
    def pending(self) -> int:
        """Requests in flight and waiting."""
        return self._busy + len(self._queue)

    async def open(self) -> None:
        """Find the address, and see that somebody listens there."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=1)
            self._address = str(found[0][4][0])
            await asyncio.wait_for(self._connect(Exchange(self)), self._timeout / 1e9)
        except TimeoutError:
            raise LabError(f"{self._host}:{self._port}: cannot be reached in time") from None
        except OSError as error:
            number = error.errno or 0
            why = os.strerror(number) if number > 0 else error.strerror
            raise LabError(
                f"{self._host}:{self._port}: cannot be reached: {why or error}"
            ) from None

    def offer(self, due: int, number: int) -> None:
        """Send on a free connection, or queue and open one more."""
        if self._free:
            self._busy += 1
            # Making the request takes a while too, which is the generator's own time.
            payload = self.fill(number)
            self._free.pop().send(due, perf_counter_ns(), payload)
        else:
            self._queue.append((due, perf_counter_ns(), number))
            self._grow()

    def done(self, exchange: Exchange, now: int, code: int, *, keep: bool) -> None:
        """*exchange* has ended with *code*, and may take another request where *keep*."""
        self.recorder.row((exchange.due, exchange.taken, exchange.sent, now, code))
        self._busy -= 1
        if keep and not self._fresh:
            self._next(exchange)
        else:
            self._drop(exchange)
        self.ended(now)

    def made(self, exchange: Exchange) -> None:
        """A connection of the pool is open."""
        self.failing = False
        self.recorder.tally.connects += 1
        if self._closed:
            self._drop(exchange)
        else:
            self._next(exchange)

    def _next(self, exchange: Exchange) -> None:
        """What waits longest goes on the free *exchange*, or it waits itself."""
        if self._queue:
            self._busy += 1
            due, taken, number = self._queue.popleft()
            exchange.send(due, taken, self.fill(number))
        else:
            self._free.append(exchange)

    def lost(self, exchange: Exchange) -> None:
        """A connection is gone, between requests or in the middle of one."""
        if exchange.busy:
            exchange.busy = False
            self.done(exchange, perf_counter_ns(), _RESET, keep=False)
        else:
            self._drop(exchange)

    def expire(self, now: int) -> None:
        """End what has taken too long; it counts as the timeout, whenever this is noticed."""
        oldest = now - self._timeout
        while self._queue and self._queue[0][0] <= oldest:
            due, taken, _ = self._queue.popleft()
            self.recorder.row((due, taken, 0, due + self._timeout, TIMEOUT))
            self.ended(now)
        for exchange in [each for each in self._all if each.busy and each.due <= oldest]:
            if exchange.busy:
                exchange.busy = False
                self.done(exchange, exchange.due + self._timeout, TIMEOUT, keep=False)

    def cut(self, now: int) -> None:
        """Wait for nothing more."""
        while self._queue:
            due, taken, _ = self._queue.popleft()
            self.recorder.row((due, taken, 0, now, _CUT))
        for exchange in [each for each in self._all if each.busy]:
            exchange.busy = False
            self.done(exchange, now, _CUT, keep=False)

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for exchange in list(self._all):
            self._drop(exchange)
        # Transports close in the turn after the next.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _send_fresh(self, due: int, taken: int, number: int) -> None:
        exchange = Exchange(self)
        exchange.prepare(due, taken, self.fill(number))
        self._busy += 1
        self._all.add(exchange)
        self._open(exchange)

    def _grow(self) -> None:
        """Open as many connections as there are requests waiting for one."""
        if self._fresh:
            while self._queue and self._busy < self._limit:
                self._send_fresh(*self._queue.popleft())
            return
        while (
            len(self._opening) < len(self._queue)
            and len(self._all) + len(self._opening) < self._limit
            and not self._closed
        ):
            self._open(Exchange(self))

    def _open(self, exchange: Exchange) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(exchange))
        self._opening[task] = exchange
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[object]) -> None:
        exchange = self._opening.pop(task)
        failed = not task.cancelled() and task.exception() is not None
        if failed:
            self._refused(exchange)
        elif task.cancelled() and not self._closed:
            self._drop(exchange)

    def _refused(self, exchange: Exchange) -> None:
        """A connection could not be opened: the request that it was for has failed."""
        now = perf_counter_ns()
        self.failing = True
        if exchange.busy:
            exchange.busy = False
            self.done(exchange, now, _CONNECT, keep=False)
        elif self._queue:
            due, taken, _ = self._queue.popleft()
            self.recorder.row((due, taken, now, now, _CONNECT))
            self.ended(now)
            self._grow()

    async def _connect(self, exchange: Exchange) -> None:
        await asyncio.get_running_loop().create_connection(
            lambda: exchange,
            self._address,
            self._port,
            ssl=self._tls,
            server_hostname=self._host if self._tls else None,
        )

    def joined(self, exchange: Exchange) -> None:
        """*exchange* has a transport from now on."""
        self._all.add(exchange)

    def _drop(self, exchange: Exchange) -> None:
        self._all.discard(exchange)
        if exchange in self._free:
            self._free.remove(exchange)
        for task, opening in self._opening.items():
            if opening is exchange:
                task.cancel()
        exchange.abort()
        if not self._closed:
            self._grow()


def _nothing(_: int) -> None:
    """What is called where nobody wants to know."""


def _empty(_: int) -> bytes:
    """What is sent before it is known."""
    return b""
