# SPDX-License-Identifier: Apache-2.0
"""SocketLine: which reply belongs to whom, and what ends a connection."""

from __future__ import annotations

import asyncio
from typing import Any

import hiredis
import pytest

from gateway.stores.line import Line, SocketLine


class Wire(asyncio.Transport):
    """What was written; nothing is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.Transport`."""

    def write(self, data: Any) -> None:
        """See `asyncio.Transport`."""
        self.written.append(bytes(data))

    def abort(self) -> None:
        """See `asyncio.Transport`."""
        self.aborted = True


class Connected:
    """A line on a wire, and what its callers were told."""

    def __init__(self, max_reply: int = 1000) -> None:
        self.wire = Wire()
        self.lost: list[Line] = []
        self.told: dict[str, Any] = {}
        self.line = SocketLine(self.lost.append, max_reply=max_reply)
        self.line.connection_made(self.wire)

    def ask(self, name: str, *commands: tuple[str, ...]) -> None:
        """Send, under a *name* for what comes back."""
        self.line.send(commands, lambda replies: self.told.update({name: replies}))


def test_commands_leave_as_one_write_and_replies_come_in_order() -> None:
    """However the network cuts them."""
    made = Connected()
    made.ask("one", ("GET", "a"), ("GET", "b"))
    made.ask("two", ("MGET", "c", "d"))
    assert made.wire.written[0] == b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"

    for byte in b"$1\r\nA\r\n$-1\r\n*2\r\n$1\r\nC\r\n$-1\r\n":
        made.line.data_received(bytes([byte]))

    assert made.told == {"one": [b"A", None], "two": [[b"C", None]]}
    assert not made.line.waited_for


def test_an_error_is_a_reply_like_others() -> None:
    """It belongs to its command."""
    made = Connected()
    made.ask("one", ("SET", "a", "1"), ("GET", "a"))
    made.line.data_received(b"-OOM full\r\n$-1\r\n")

    refused, nothing = made.told["one"]
    assert isinstance(refused, hiredis.ReplyError)
    assert str(refused) == "OOM full"
    assert nothing is None


@pytest.mark.parametrize("said", [b"+unasked\r\n", b"?noise\r\n", b"$2000\r\n" + b"x" * 1500])
def test_what_is_not_a_reply_ends_the_connection(said: bytes) -> None:
    """Unasked, unreadable, or larger than anything that was asked for."""
    made = Connected()
    if said[:1] != b"+":
        made.ask("one", ("GET", "a"))
    made.line.data_received(said)

    assert made.wire.aborted
    assert made.lost == [made.line]
    assert made.told.get("one", None) is None


def test_the_end_of_a_connection_is_told_once_to_all() -> None:
    """To whoever waits, to whoever asks after that, and to the owner."""
    made = Connected()
    made.ask("one", ("GET", "a"))
    made.line.connection_lost(None)
    made.line.abort()
    made.ask("two", ("GET", "a"))

    assert made.told == {"one": None, "two": None}
    assert made.lost == [made.line]


def test_nothing_is_sent_to_a_server_that_does_not_read() -> None:
    """What would wait in memory is refused instead."""
    made = Connected()
    made.line.pause_writing()
    made.ask("one", ("GET", "a"))
    made.line.resume_writing()
    made.ask("two", ("GET", "a"))

    assert made.told == {"one": None}
    assert len(made.wire.written) == 1
