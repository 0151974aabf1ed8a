# SPDX-License-Identifier: Apache-2.0
"""Leases: of all processes that lack an entry one fills it, and the others wait for what it brings.

A lease is a key with a random token and a short time to live. It saves work and promises nothing:
where Redis cannot say who fills, whoever asks does.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from gateway.promise import Promise

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.stores.channel import Channel
    from gateway.stores.line import Command, Replies
    from gateway.stores.reads import Reads

TOKEN: Final = 16
# Nobody said who fills: each by itself.
UNKNOWN: Final = b""
# Seconds between two looks of one that waits; each is half as long again as the one before.
_FIRST: Final = 0.002
_GROWTH: Final = 1.5
_LONGEST: Final = 0.05


class Leases:
    """Takes leases over *channel*, which writes, and waits with *reads* for what they bring.

    *clock* gives seconds, *sleep* waits for some, *token* gives random bytes.
    """

    def __init__(
        self,
        channel: Channel,
        reads: Reads,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        token: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._channel = channel
        self._reads = reads
        self._clock = clock
        self._sleep = sleep
        self._token = token
        self._asked: list[tuple[Command, Promise[object]]] = []

    def __repr__(self) -> str:
        return f"<Leases {len(self._asked)} asked>"

    async def take(self, key: bytes, ttl: float) -> bytes | None:
        """A token for the lease *key* of *ttl* seconds, None where another one has it.

        An empty token says that Redis could not be asked. Leases of one turn of the loop leave
        together.
        """
        if not self._channel.usable():
            return UNKNOWN
        token = self._token(TOKEN)
        loop = asyncio.get_running_loop()
        promise: Promise[object] = Promise(loop)
        if not self._asked:
            loop.call_soon(self._leave)
        self._asked.append((("SET", key, token, "NX", "PX", max(1, round(ttl * 1e3))), promise))
        reply = await promise
        if reply == b"OK":
            return token
        return None if reply is _NOBODY else UNKNOWN

    async def wait(self, key: bytes, lease: bytes, timeout: float) -> bytes | None:
        """What comes under *key* within *timeout* seconds while *lease* is held; None without."""
        until = self._clock() + timeout
        pause = _FIRST
        held = True
        while True:
            (found,) = await self._reads.read((key, lease))
            if found is None or found[0] is not None:
                return None if found is None else found[0]
            if not held:
                return None
            # Gone without a value: it may have come between the two looks, where they are two.
            held = found[1] is not None
            left = until - self._clock()
            if left <= 0:
                return None
            if held:
                await self._sleep(min(pause, left))
                pause = min(pause * _GROWTH, _LONGEST)

    def _leave(self) -> None:
        asked, self._asked = self._asked, []

        def done(replies: Replies) -> None:
            for place, (_, promise) in enumerate(asked):
                reply = UNKNOWN if replies is None else replies[place]
                # A promise takes no None: it would look like no answer.
                promise.answer(_NOBODY if reply is None else reply)

        self._channel.call([command for command, _ in asked], done)


# The reply of SET NX where the key was there: nothing was set.
_NOBODY: Final = object()
