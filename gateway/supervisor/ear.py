# SPDX-License-Identifier: Apache-2.0
"""Ear: the socket on which the supervisor takes orders from the control process.

Its connections belong to the loop's selector. It never waits: a reply that does not fit into the
socket's buffer, which takes thousands of them, ends the connection.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from gateway.wire.orders import Inbox, Order, Reply, listen_for_orders, packed

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

logger: Final = logging.getLogger(__name__)


class Source(Protocol):
    """Something that the loop waits for and that then reads for itself."""

    def fileno(self) -> int:
        """What to wait for."""
        ...

    def readable(self) -> list[Source]:
        """Take what has arrived; gives the new sources that came with it."""
        ...

    @property
    def closed(self) -> bool:
        """Nothing more will come: wait for it no longer."""
        ...

    def end(self) -> None:
        """Give the descriptor back; twice does no harm."""
        ...


class Ear:
    """Listens at *path* and gives each order to *obey*, with what to call with its faults."""

    def __init__(
        self, path: Path, obey: Callable[[Order, Callable[[tuple[str, ...]], None]], None]
    ) -> None:
        self._path = path
        self._socket = listen_for_orders(path)
        self._obey = obey
        self.closed = False

    def __repr__(self) -> str:
        return f"<Ear {self._path}>"

    def fileno(self) -> int:
        """The listening socket's."""
        return self._socket.fileno()

    def end(self) -> None:
        """Stop listening."""
        self._socket.close()

    def readable(self) -> list[Source]:
        """Accept whoever connects."""
        try:
            connected, _ = self._socket.accept()
        except OSError:
            return []
        connected.settimeout(0)
        return [_Talk(connected, self._obey)]


class _Talk:
    """One connection."""

    def __init__(
        self,
        connected: socket.socket,
        obey: Callable[[Order, Callable[[tuple[str, ...]], None]], None],
    ) -> None:
        self._socket = connected
        self._obey = obey
        self._inbox = Inbox()
        self.closed = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def readable(self) -> list[Source]:
        try:
            data = self._socket.recv(1 << 16)
            orders = self._inbox.orders(data)
        except BlockingIOError:
            return []
        except (OSError, ValueError) as error:
            logger.warning("orders cannot be read", extra={"error": str(error)})
            self._close()
            return []
        if not data:
            self._close()
        for order in orders:
            self._obey(order, partial(self._reply, order.id))
        return []

    def _reply(self, id_: int, faults: tuple[str, ...]) -> None:
        if self.closed:
            return
        message = packed(Reply(id_, faults))
        try:
            whole = self._socket.send(message) == len(message)
        except OSError:
            whole = False
        if not whole:
            self._close()

    def _close(self) -> None:
        # The descriptor stays until the loop has taken it out of its selector.
        self.closed = True

    def end(self) -> None:
        """Give the descriptor back."""
        self._socket.close()
