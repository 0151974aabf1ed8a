# SPDX-License-Identifier: Apache-2.0
"""Writes: a bounded queue of values on their way to Redis; nobody ever waits for it.

While one pipeline is under way the next gathers, so that its size follows the load. What does not
fit, or fails, is dropped and counted: a lost write costs one run of the model.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import hiredis

from gateway.stores.frame import Refused
from gateway.wire.message import InferResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.stores.channel import Channel
    from gateway.stores.line import Command, Replies

# Why a write was dropped. queue: too much is waiting. open: the breaker is. failed: no reply came.
# refused: the server said no. too_large: above the limit of a value. foreign: has parameters that
# cannot be encoded.
DROPS: Final = ("queue", "open", "failed", "refused", "too_large", "foreign")
# What one pipeline holds at most.
_ENTRIES: Final = 64
_BYTES: Final = 1 << 20
# Frames of so many bytes are made by another thread: on the loop they would hold up requests.
OFF_LOOP: Final = 256 << 10
# What an entry in the queue takes besides its value, about.
_OVERHEAD: Final = 500

_RELEASE: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


class Write(NamedTuple):
    """A value to be written; *created* is seconds since 1970, *ttl* and *cost* are seconds."""

    value: InferResponse
    size: int
    created: float
    ttl: float
    cost: float


class Writes:
    """At most *max_entries* writes of *max_bytes* in all wait for *channel*.

    *encode* makes the bytes of a write under its key; it may raise Refused.
    """

    def __init__(
        self,
        channel: Channel,
        encode: Callable[[bytes, Write], bytes],
        *,
        max_entries: int = 4096,
        max_bytes: int = 16 << 20,
    ) -> None:
        self._channel = channel
        self._encode = encode
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._waiting: dict[bytes, Write] = {}
        self._flying: dict[bytes, Write] = {}
        # Each with the number of writes that it must stay behind.
        self._releases: deque[tuple[int, Command]] = deque()
        self._put = 0
        self._gone = 0
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.bytes = 0
        self.written = 0
        self.dropped = dict.fromkeys(DROPS, 0)

    def __repr__(self) -> str:
        waiting = len(self._waiting) + len(self._flying)
        return f"<Writes {waiting} waiting, {self.bytes} bytes, {self.written} written>"

    def put(self, key: bytes, write: Write) -> bool:
        """Queue *write* under *key* in place of an earlier one; False where it is dropped."""
        if self._closed:
            return False
        if not self._channel.usable():
            self.dropped["open"] += 1
            return False
        earlier = self._waiting.get(key)
        weight = write.size + _OVERHEAD - (earlier.size + _OVERHEAD if earlier else 0)
        entries = len(self._waiting) + len(self._flying) + (earlier is None)
        if self.bytes + weight > self._max_bytes or entries > self._max_entries:
            self.dropped["queue"] += 1
            return False
        self.bytes += weight
        self._put += earlier is None
        self._waiting[key] = write
        self._go()
        return True

    def pending(self, key: bytes) -> Write | None:
        """What is on its way to *key*."""
        return self._waiting.get(key) or self._flying.get(key)

    def release(self, key: bytes, token: bytes) -> None:
        """Delete *key* if it still holds *token*, behind all that was put before."""
        if not self._closed and self._channel.usable() and len(self._releases) < self._max_entries:
            self._releases.append((self._put, ("EVAL", _RELEASE, 1, key, token)))
            self._go()

    async def aclose(self) -> None:
        """Drop what waits and take nothing more."""
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._forget(self._waiting)
        self._forget(self._flying)
        self._releases.clear()

    def _go(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting or self._releases:
                await self._fly()
                due = []
                while self._releases and self._releases[0][0] <= self._gone:
                    due.append(self._releases.popleft()[1])
                if due:
                    await self._call(due)
        finally:
            self._task = None
            self._forget(self._flying)

    def _take(self) -> None:
        """Move what one pipeline holds from waiting to flying."""
        size = 0
        while self._waiting and len(self._flying) < _ENTRIES:
            key = next(iter(self._waiting))
            size += self._waiting[key].size
            if self._flying and size > _BYTES:
                break
            self._flying[key] = self._waiting.pop(key)

    async def _fly(self) -> None:
        self._take()
        commands: list[Command] = []
        loop = asyncio.get_running_loop()
        for key, write in list(self._flying.items()):
            try:
                if write.size > OFF_LOOP:
                    frame = await loop.run_in_executor(None, self._encode, key, write)
                else:
                    frame = self._encode(key, write)
            except Refused as refused:
                self.dropped[refused.reason] += 1
                continue
            commands.append(("SET", key, frame, "PX", max(1, round(write.ttl * 1e3))))
        replies = await self._call(commands) if commands else []
        if replies is None:
            # The breaker may have opened meanwhile; then that is why.
            why = "failed" if self._channel.breaker.closed else "open"
            self.dropped[why] += len(commands)
        else:
            refused_replies = sum([isinstance(each, hiredis.ReplyError) for each in replies])
            self.dropped["refused"] += refused_replies
            self.written += len(replies) - refused_replies
        self._forget(self._flying)
        if not self._channel.breaker.closed:
            self.dropped["open"] += len(self._waiting)
            self._forget(self._waiting)

    async def _call(self, commands: list[Command]) -> Replies:
        future: asyncio.Future[Replies] = asyncio.get_running_loop().create_future()

        def done(replies: Replies) -> None:
            if not future.done():
                future.set_result(replies)

        self._channel.call(commands, done)
        return await future

    def _forget(self, writes: dict[bytes, Write]) -> None:
        self._gone += len(writes)
        self.bytes -= sum([write.size + _OVERHEAD for write in writes.values()])
        writes.clear()
