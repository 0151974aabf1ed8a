# SPDX-License-Identifier: Apache-2.0
"""Generations: a purge is a number in the keys of all that comes after it; nothing is searched for.

Each purge is known by its time, in microseconds since 1970, made later than any known one. The
generation of an entry is the latest purge of its model, its tenant, both or everything, so one
number in the key makes all entries from before it unreachable; they end with their time to live.

All purges stand in one Redis hash, which every process reads about once a second. What a process
knows only grows: a hash that was evicted, restored or has lost its last second in a failover cannot
undo a purge, and is told what it lacks.
"""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import hiredis

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.stores.channel import Channel
    from gateway.stores.line import Command, Replies

# Seconds. No entry lives longer, so no purge needs to be remembered for longer.
LONGEST_TTL: Final = 30 * 86400.0
_EVERYTHING: Final = b"all"
_MODEL: Final = b"model:"
_TENANT: Final = b"tenant:"
_BOTH: Final = b"both:"
# A hash with more purges than this is replaced by one of everything: it is read every second.
_MOST: Final = 4096


class Generations:
    """What has been purged when; *key* is that of the hash in Redis.

    *reads* and *writes* are the ways to Redis. *now* gives seconds since 1970. Tenants stand in
    the hash as a digest, which *secret* makes one that cannot be guessed.
    """

    def __init__(
        self,
        reads: Channel,
        writes: Channel,
        *,
        key: bytes,
        now: Callable[[], float],
        secret: bytes = b"",
    ) -> None:
        self._reads = reads
        self._writes = writes
        self._key = key
        self._now = now
        self._secret = secret[:64]
        self._purges: dict[bytes, int] = {}
        self._models: dict[str, int] = {}
        self._tenants: dict[str, bytes] = {}
        self._everything = 0
        self._any_both = False
        self._subscribers: list[Callable[[], object]] = []
        # Whether Redis has said once what it knows: before that a purge may be missed.
        self.known = False

    def __repr__(self) -> str:
        return f"<Generations {len(self._purges)} purges known={self.known}>"

    def of(self, model: str, tenant: str = "") -> int:
        """The latest purge that touches *model* for *tenant*, 0 where there was none."""
        if not self._purges:
            return 0
        purged = max(self._everything, self._models.get(model, 0))
        if not tenant:
            return purged
        purges = self._purges
        both = purges.get(self._both(model, tenant), 0) if self._any_both else 0
        return max(purged, purges.get(self._field(tenant), 0), both)

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Have *callback* called after each change of what `of` says."""
        self._subscribers.append(callback)

    async def refresh(self) -> bool:
        """Ask Redis what was purged, and tell it what it does not know; False if it is away."""
        (reply,) = await _ask(self._reads, [("HGETALL", self._key)]) or (None,)
        if not isinstance(reply, list):
            return False
        # What was purged before this has ended by itself, on a clock that is a day wrong, too.
        over = int((self._now() - LONGEST_TTL - 86400) * 1e6)
        found = _purges(reply)
        old = [field for field, time in found.items() if time <= over]
        for field in old:
            del found[field]
        self._purges = {field: time for field, time in self._purges.items() if time > over}
        lacking = {
            field: time for field, time in self._purges.items() if time > found.get(field, 0)
        }
        self.known = True
        self._learn(found)
        return not (lacking or old) or await self._tell(lacking, old)

    async def purge(self, model: str | None = None, tenant: str | None = None) -> bool:
        """Make what is stored now of *model* for *tenant* unreachable; None stands for all.

        In this process that is so at once; True says that Redis has it for the others, False that
        it will be told by `refresh`.
        """
        field = _EVERYTHING
        if model is not None:
            field = _MODEL + model.encode() if tenant is None else self._both(model, tenant)
        elif tenant is not None:
            field = self._field(tenant)
        # First what others have done: the time of this purge must be later, whatever their clocks.
        await self.refresh()
        if field not in self._purges and len(self._purges) >= _MOST:
            field = _EVERYTHING
        time = max(int(self._now() * 1e6), max(self._purges.values(), default=0) + 1)
        self._learn({field: time})
        return await self._tell({field: time}, [])

    async def _tell(self, purges: dict[bytes, int], old: list[bytes]) -> bool:
        commands: list[Command] = []
        if old:
            commands.append(("HDEL", self._key, *old))
        if purges:
            pairs = [part for pair in purges.items() for part in pair]
            commands.append(("HSET", self._key, *pairs))
        commands.append(("PEXPIRE", self._key, round(2 * LONGEST_TTL * 1e3)))
        replies = await _ask(self._writes, commands)
        return replies is not None and not any(
            isinstance(reply, hiredis.ReplyError) for reply in replies
        )

    def _learn(self, purges: dict[bytes, int]) -> None:
        changed = False
        for field, time in purges.items():
            if time > self._purges.get(field, 0):
                self._purges[field] = time
                changed = True
        if not changed:
            return
        self._everything = self._purges.get(_EVERYTHING, 0)
        self._models = {
            field[len(_MODEL) :].decode(errors="replace"): time
            for field, time in self._purges.items()
            if field.startswith(_MODEL)
        }
        self._any_both = any(field.startswith(_BOTH) for field in self._purges)
        for callback in self._subscribers:
            callback()

    def _both(self, model: str, tenant: str) -> bytes:
        return _BOTH + model.encode() + b":" + self._field(tenant)

    def _field(self, tenant: str) -> bytes:
        field = self._tenants.get(tenant)
        if field is None:
            if len(self._tenants) >= _MOST:
                self._tenants.clear()
            told = blake2b(
                tenant.encode(errors="surrogateescape"),
                key=self._secret,
                digest_size=16,
                person=b"infergate-tenant",
            )
            field = self._tenants[tenant] = _TENANT + told.hexdigest().encode()
        return field


def _purges(reply: list[bytes]) -> dict[bytes, int]:
    """The fields of a hash whose values are times; others are not ours."""
    pairs = zip(reply[::2], reply[1::2], strict=False)
    return {field: int(time) for field, time in pairs if time.isdigit() and len(time) < 18}


async def _ask(channel: Channel, commands: list[Command]) -> Replies:
    future: asyncio.Future[Replies] = asyncio.get_running_loop().create_future()

    def done(replies: Replies) -> None:
        if not future.done():
            future.set_result(replies)

    channel.call(commands, done)
    return await future
