# SPDX-License-Identifier: Apache-2.0
"""Channel: calls to Redis within a budget, behind a breaker; what cannot be had is None at once.

A call never raises and never takes longer than its budget, waiting for a connection included.
When the breaker opens, all that is under way ends there and then, and the connection with it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import hiredis

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from gateway.stores.breaker import Breaker
    from gateway.stores.dial import Dialling
    from gateway.stores.line import Command, Line, Replies

# Why a call brought nothing. refused: the server said no. open: the breaker did.
ERRORS: Final = ("timeout", "connection", "refused", "open")
# A server that says so is not the one to talk to any more: it is looked for anew.
_MOVED: Final = ("READONLY", "MASTERDOWN")
# Seconds without any reply after which a connection is not believed in any more. The breaker sees
# only failures that come close together, as they do under load.
_SILENT: Final = 1.0
# Seconds before the end of a budget at which the loop is made to turn once more. A loop that was
# busy for all of it may find the reply there, and the server is not to blame for that.
_LAST_LOOK: Final = 0.001

_log = logging.getLogger(__name__)


class _Call:
    """A call under way, until it is settled."""

    __slots__ = ("_calls", "commands", "done", "timer")

    def __init__(
        self,
        calls: set[_Call],
        commands: Sequence[Command],
        done: Callable[[Replies], None],
    ) -> None:
        self._calls = calls
        self.commands = commands
        self.done = done
        self.timer: asyncio.TimerHandle | None = None

    def settle(self, replies: Replies) -> bool:
        """Hand out *replies*; False where that has been done already."""
        if self not in self._calls:
            return False
        self._calls.discard(self)
        if self.timer is not None:
            self.timer.cancel()
        self.done(replies)
        return True


class Channel:
    """Calls over one line, which *dial* connects when it is first needed and again when it is lost.

    *timeout* is the budget of a call, *connect_timeout* that of connecting, in seconds. *probe* is
    the command that finds out, behind the breaker, whether things are well again. *name* is what
    the log calls the channel. *errors* counts, by the words of `ERRORS`, what calls did not bring.
    """

    def __init__(
        self,
        dial: Dialling,
        *,
        name: str,
        breaker: Breaker,
        probe: Command,
        timeout: float = 0.02,
        connect_timeout: float = 0.05,
    ) -> None:
        self.breaker = breaker
        self.errors = dict.fromkeys(ERRORS, 0)
        self._name = name
        self._dial = dial
        self._probe = probe
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._line: Line | None = None
        self._task: asyncio.Task[None] | None = None
        # All that is under way, and of it what waits for the connection.
        self._calls: set[_Call] = set()
        self._backlog: list[_Call] = []
        # When the first of the calls in a row that brought no reply was given up.
        self._silent: float | None = None
        self._closed = False

    def __repr__(self) -> str:
        line = "no line" if self._line is None else repr(self._line)
        return f"<Channel {self.breaker!r} {len(self._calls)} calls {line}>"

    def usable(self) -> bool:
        """Whether a call would be tried; where a probe is due, asking sends it."""
        if self.breaker.closed:
            return not self._closed
        if not self._closed and self.breaker.probe_is_due():
            self._start(self._try())
        return False

    def call(self, commands: Sequence[Command], done: Callable[[Replies], None]) -> None:
        """Have *done* called once: with one reply for each of *commands*, or with None."""
        if not self.usable():
            self.errors["open"] += 1
            done(None)
            return
        call = _Call(self._calls, commands, done)
        self._calls.add(call)
        loop = asyncio.get_running_loop()
        before = max(0.0, self._timeout - _LAST_LOOK)
        call.timer = loop.call_later(before, self._expires, call)
        if self._line is not None:
            self._send(self._line, call)
            return
        self._backlog.append(call)
        if self._task is None:
            self._start(self._connect())

    async def aclose(self) -> None:
        """End what is under way; from now on every call brings None."""
        self._closed = True
        task = self._task
        self._abandon()
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)
        await self._dial.aclose()

    def _send(self, line: Line, call: _Call) -> None:
        def replied(replies: Replies) -> None:
            if replies is None:
                # The line has ended, which has been counted, or takes no more.
                if call.settle(None) and line.congested:
                    self._fail("timeout", "it does not read what is sent")
                return
            self._silent = None
            # Handed out first: the breaker, when it opens, leaves nothing to those under way.
            call.settle(replies)
            self._judge(replies)

        line.send(call.commands, replied)

    def _judge(self, replies: list[object]) -> None:
        """Count the errors among *replies* as one failure."""
        errors = [str(reply) for reply in replies if isinstance(reply, hiredis.ReplyError)]
        if not errors:
            return
        if any(error.startswith(_MOVED) for error in errors):
            self._hang_up()
        self._fail("refused", errors[0])

    def _expires(self, call: _Call) -> None:
        call.timer = asyncio.get_running_loop().call_later(_LAST_LOOK, self._expired, call)

    def _expired(self, call: _Call) -> None:
        if call.settle(None):
            if call in self._backlog:
                self._backlog.remove(call)
            now = asyncio.get_running_loop().time()
            if self._silent is None:
                self._silent = now
            elif now - self._silent >= _SILENT:
                self._silent = None
                self._hang_up()
            self._fail("timeout", "it does not answer in time")

    def _fail(self, kind: str, problem: str) -> None:
        self.errors[kind] += 1
        self.breaker.failed()
        if not self.breaker.closed:
            # Nobody waits any longer for what will hardly come.
            self._abandon()
            _log.warning("%s: left alone for a while: %s", self._name, problem)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        # What came while the task was ending.
        if self._backlog and self._task is None and self.usable():
            self._start(self._connect())

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._connect_timeout):
                line = await self._dial(self._lost)
        except OSError as error:  # a TimeoutError is one too
            backlog, self._backlog = self._backlog, []
            self._fail("connection", str(error) or "it does not let connect in time")
            for call in backlog:
                call.settle(None)
            return
        self._line = line
        self._silent = None
        backlog, self._backlog = self._backlog, []
        for call in backlog:
            self._send(line, call)

    async def _try(self) -> None:
        """The probe behind the breaker; no request waits for it."""
        well = False
        try:
            async with asyncio.timeout(self._connect_timeout + self._timeout):
                line = await self._dial(self._lost)
                answered: asyncio.Future[Replies] = asyncio.get_running_loop().create_future()
                line.send(
                    [self._probe],
                    lambda replies: None if answered.done() else answered.set_result(replies),
                )
                try:
                    replies = await answered
                except asyncio.CancelledError:
                    line.abort()
                    raise
            well = replies is not None and not isinstance(replies[0], hiredis.ReplyError)
            if well:
                self._line = line
            else:
                line.abort()
        except OSError:
            pass  # that it is not well is all there is to know
        if well:
            self._silent = None
            self.breaker.succeeded()
            _log.info("%s: well again", self._name)
        else:
            self.errors["connection"] += 1
            self.breaker.failed()

    def _lost(self, line: Line) -> None:
        """A line has ended by itself or by us; with calls under way that is a failure."""
        if self._line is not line:
            return
        self._line = None
        if line.waited_for:
            self._fail("connection", "it has ended the connection")

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.abort()

    def _abandon(self) -> None:
        self._hang_up()
        if self._task is not None and asyncio.current_task() is not self._task:
            self._task.cancel()
            self._task = None
        self._backlog.clear()
        for call in list(self._calls):
            call.settle(None)
