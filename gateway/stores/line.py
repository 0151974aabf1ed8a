# SPDX-License-Identifier: Apache-2.0
"""Line: one connection to a Redis server; commands leave at once, replies come back in order.

A client for one command at a time waits for each reply, and a pool of such clients costs a
connection, a stream reader and several turns of the loop a call. Here any number of commands are
under way on one connection, and what arrives in one read is parsed and handed out in one go.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

import hiredis

if TYPE_CHECKING:
    from collections.abc import Sequence

Command: TypeAlias = "tuple[bytes | str | int, ...]"
# One reply for each command, an error among them as a `hiredis.ReplyError`; None: none will come.
Replies: TypeAlias = "list[Any] | None"
# Told once that a line has ended.
Lost: TypeAlias = "Callable[[Line], None]"

# Its published type takes a tuple of one part alone.
_pack: Final[Callable[[Command], bytes]] = hiredis.pack_command  # type: ignore[assignment]

# Requests that a server does not read wait here; beyond this nothing is sent any more.
_MAX_UNSENT: Final = 4 << 20


class Line(Protocol):
    """A way to send commands, until it has ended; whoever makes one says whom that is told."""

    congested: bool

    @property
    def waited_for(self) -> bool:
        """Whether any reply is still to come."""
        ...

    def send(self, commands: Sequence[Command], done: Callable[[Replies], None]) -> None:
        """Send *commands*; *done* gets their replies, or None where the line has ended."""
        ...

    def abort(self) -> None:
        """End now; what was asked gets None."""
        ...


class SocketLine(asyncio.Protocol):
    """Sends commands and hands out their replies; *lost* is called once when the connection ends.

    A reply of more than *max_reply* bytes ends the connection: nothing here asks for one.
    """

    def __init__(self, lost: Lost, *, max_reply: int) -> None:
        self._lost = lost
        self._max_reply = max_reply
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._asked: deque[tuple[int, Callable[[Replies], None]]] = deque()
        self._replies: list[Any] = []
        self._incomplete = 0
        self.congested = False

    def __repr__(self) -> str:
        state = "closed" if self._transport is None else "open"
        return f"<SocketLine {state} {len(self._asked)} asked>"

    @property
    def waited_for(self) -> bool:
        """See `Line.waited_for`."""
        return bool(self._asked)

    def send(self, commands: Sequence[Command], done: Callable[[Replies], None]) -> None:
        """See `Line.send`."""
        if self._transport is None or self.congested:
            done(None)
            return
        self._asked.append((len(commands), done))
        self._transport.write(b"".join([_pack(command) for command in commands]))

    def abort(self) -> None:
        """See `Line.abort`."""
        if self._transport is not None:
            self._transport.abort()
            self._end()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        transport.set_write_buffer_limits(high=_MAX_UNSENT)
        self._transport = transport

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self.congested = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self.congested = False

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        reader, replies = self._reader, self._replies
        self._incomplete += len(data)
        try:
            reader.feed(data)
            # No command here is answered with a truth value, so False is "no more" alone.
            while (reply := reader.gets()) is not False:
                self._incomplete = 0
                replies.append(reply)
                if not self._asked:
                    # Said unasked: whatever it is, no later reply could be told from it.
                    self.abort()
                    return
                if len(replies) == self._asked[0][0]:
                    _, done = self._asked.popleft()
                    complete, replies = replies, []
                    self._replies = replies
                    done(complete)
                    if self._transport is None:
                        return
        except hiredis.ProtocolError:
            self.abort()
            return
        if self._incomplete > self._max_reply:
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """See `asyncio.Protocol`."""
        self._end()

    def _end(self) -> None:
        if self._transport is None:
            return
        self._transport = None
        self._lost(self)
        asked, self._asked = self._asked, deque()
        for _, done in asked:
            done(None)
