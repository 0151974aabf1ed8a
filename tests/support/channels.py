# SPDX-License-Identifier: Apache-2.0
"""Scripted ways to Redis: a test sees each call, and says how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.stores.breaker import Breaker
from gateway.stores.channel import ERRORS, Channel
from tests.support.upstream import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.stores.line import Command, Line, Lost, Replies


class ScriptedChannel(Channel):
    """Keeps what is called, until the test answers; *open_* is a breaker that is open."""

    def __init__(self) -> None:
        self.breaker = Breaker(clock=Clock())
        self.errors = dict.fromkeys(ERRORS, 0)
        self.calls: list[tuple[Sequence[Command], Callable[[Replies], None]]] = []
        self.works = True
        # Called with each command where the test does not answer by itself.
        self.server: Callable[[Command], Any] | None = None

    def usable(self) -> bool:
        """As the test says."""
        return self.works

    def call(self, commands: Sequence[Command], done: Callable[[Replies], None]) -> None:
        """Note it, or answer it at once."""
        if not self.works:
            done(None)
        elif self.server is not None:
            done([self.server(command) for command in commands])
        else:
            self.calls.append((commands, done))

    def answer(self, replies: Replies) -> Sequence[Command]:
        """Answer the oldest call, and say what it was."""
        commands, done = self.calls.pop(0)
        done(replies)
        return commands

    async def aclose(self) -> None:
        """Answer what is under way with nothing."""
        while self.calls:
            self.answer(None)


class ScriptedLine:
    """A line that a test answers on."""

    def __init__(self, lost: Lost) -> None:
        self._lost = lost
        self.asked: list[tuple[Sequence[Command], Callable[[Replies], None]]] = []
        self.congested = False
        self.aborted = False

    @property
    def waited_for(self) -> bool:
        """See `Line`."""
        return bool(self.asked)

    def send(self, commands: Sequence[Command], done: Callable[[Replies], None]) -> None:
        """See `Line`."""
        if self.aborted or self.congested:
            done(None)
        else:
            self.asked.append((commands, done))

    def answer(self, *replies: Any) -> None:
        """Reply to what was asked first."""
        _, done = self.asked.pop(0)
        done(list(replies))

    def abort(self) -> None:
        """See `Line`."""
        if not self.aborted:
            self.aborted = True
            self._lost(self)
            asked, self.asked = self.asked, []
            for _, done in asked:
                done(None)


class ScriptedDial:
    """Connects as the test says: *connect* is awaited first, and may raise."""

    def __init__(self) -> None:
        self.lines: list[ScriptedLine] = []
        self.dialled = 0
        self.connect: Callable[[], Any] | None = None

    async def __call__(self, lost: Lost) -> Line:
        """See `Dialling`."""
        self.dialled += 1
        if self.connect is not None:
            await self.connect()
        line = ScriptedLine(lost)
        self.lines.append(line)
        return line

    async def aclose(self) -> None:
        """See `Dialling`."""
