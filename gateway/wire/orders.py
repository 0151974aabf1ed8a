# SPDX-License-Identifier: Apache-2.0
"""Orders: what the control process asks of the supervisor and of the gateway processes.

Each of these listens on a Unix socket of its own in the runtime directory, and the control process
connects to it. Orders and replies are msgpack behind four bytes of length; replies come in any
order and name the order by its id. Nobody but the control process ever waits for one.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.wire.generation import Generation

if TYPE_CHECKING:
    from collections.abc import Iterator

_LENGTH: Final = struct.Struct("<I")
# A generation with thousands of workers takes a few hundred kilobytes.
_LONGEST: Final = 64 << 20


class Start(msgspec.Struct, frozen=True, tag=True):
    """To the supervisor: start those workers of *generation* that do not run.

    Answered once each of them is ready, or has failed, with a fault for each that has.
    """

    id: int
    generation: Generation


class Keep(msgspec.Struct, frozen=True, tag=True):
    """To the supervisor: end all workers but *names*; answered once they have ended."""

    id: int
    names: tuple[str, ...]


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """To a gateway: connect and check what *generation* adds, and leave the traffic where it is."""

    id: int
    generation: Generation


class Commit(msgspec.Struct, frozen=True, tag=True):
    """To a gateway: serve *generation* from now on. One that it serves already changes nothing."""

    id: int
    generation: Generation


class Abort(msgspec.Struct, frozen=True, tag=True):
    """To a gateway: forget what was prepared."""

    id: int


class Settle(msgspec.Struct, frozen=True, tag=True):
    """To a gateway: answer once nothing is left of former generations."""

    id: int


class Purge(msgspec.Struct, frozen=True, tag=True):
    """To a gateway: give no more what *model* has cached for *tenant*; None is all of them."""

    id: int
    model: str | None = None
    tenant: str | None = None


class Reply(msgspec.Struct, frozen=True):
    """The order *id* has been done, or, where there are *faults*, has not."""

    id: int
    faults: tuple[str, ...] = ()


Order = Start | Keep | Prepare | Commit | Abort | Settle | Purge

_orders: Final[msgspec.msgpack.Decoder[Order]] = msgspec.msgpack.Decoder(Order)
_replies: Final = msgspec.msgpack.Decoder(Reply)


def orders_directory(runtime: str | Path) -> Path:
    """Where the sockets are."""
    return Path(runtime) / "orders"


def orders_socket(runtime: str | Path, process: str) -> Path:
    """Where *process* (``supervisor``, ``gateway-0``) takes orders."""
    return orders_directory(runtime) / f"{process}.sock"


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name for the socket *path* that is short enough for a socket address, in this block.

    Such an address has 108 bytes, which a runtime directory deep in a tree may take up alone.
    """
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen_for_orders(path: Path) -> socket.socket:
    """A listening socket at *path*, in place of one that an earlier life of this process left.

    It does not block. Raises OSError.
    """
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.settimeout(0)
        with reachable(path) as name:
            listening.bind(name)
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


def packed(message: Order | Reply) -> bytes:
    """*message* as it travels."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


class Inbox:
    """Bytes of one connection become messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __repr__(self) -> str:
        return f"<Inbox {len(self._buffer)} bytes>"

    def orders(self, data: bytes) -> list[Order]:
        """The orders that *data* completes; raises ValueError where there are none in it."""
        return [_orders.decode(body) for body in self._bodies(data)]

    def replies(self, data: bytes) -> list[Reply]:
        """The replies that *data* completes; raises ValueError where there are none in it."""
        return [_replies.decode(body) for body in self._bodies(data)]

    def _bodies(self, data: bytes) -> list[bytes]:
        self._buffer += data
        bodies = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > _LONGEST:
                raise ValueError(f"a message of {length} bytes; at most {_LONGEST} are taken")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            bodies.append(bytes(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
        return bodies
