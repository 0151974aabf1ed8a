# SPDX-License-Identifier: Apache-2.0
"""Reads: all that is looked up in one turn of the loop leaves as one call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeAlias

from gateway.promise import Promise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.stores.channel import Channel
    from gateway.stores.line import Command, Replies

# What was found under each key, None for nothing; None in place of all: the store is out of reach.
Found: TypeAlias = "list[bytes | None] | None"
# Keys of one MGET: a server does nothing else while it answers one command.
_MGET: Final = 256


class Reads:
    """Looks keys up over *channel*; the answer comes by its budget, whatever happens."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._asked: list[tuple[Sequence[bytes], Promise[tuple[Found]]]] = []

    def __repr__(self) -> str:
        return f"<Reads {len(self._asked)} asked>"

    def read(self, keys: Sequence[bytes]) -> Promise[tuple[Found]]:
        """What is found under *keys*, as the only element of a tuple."""
        loop = asyncio.get_running_loop()
        promise: Promise[tuple[Found]] = Promise(loop)
        if not self._asked:
            loop.call_soon(self._leave)
        self._asked.append((keys, promise))
        return promise

    def _leave(self) -> None:
        asked, self._asked = self._asked, []
        keys = [key for wanted, _ in asked for key in wanted]
        commands: list[Command] = [
            ("MGET", *keys[start : start + _MGET]) for start in range(0, len(keys), _MGET)
        ]

        def done(replies: Replies) -> None:
            found = _flat(replies, len(keys))
            if found is None:
                for _, promise in asked:
                    promise.answer((None,))
                return
            start = 0
            for wanted, promise in asked:
                end = start + len(wanted)
                promise.answer((found[start:end],))
                start = end

        self._channel.call(commands, done)


def _flat(replies: Replies, count: int) -> Found:
    """What several MGETs have found, None where one of them failed."""
    if replies is None:
        return None
    found = []
    for reply in replies:
        if not isinstance(reply, list):
            return None
        found += reply
    return found if len(found) == count else None
