# SPDX-License-Identifier: Apache-2.0
"""Where a worker listens: `unix:PATH` or `tcp:HOST:PORT`, and the socket for it."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import Final

import msgspec

from backends.errors import StartError

BACKLOG: Final = 128
# What sockaddr_un has room for, less the final zero.
MAX_UNIX_PATH: Final = 107


class Address(msgspec.Struct, frozen=True):
    """A place to listen: either *path* is set, or *host* and *port* (0: any free port)."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return (
            f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"
        )


def parse_address(text: str) -> Address:
    """The address that *text* spells; raises StartError if it is neither form."""
    scheme, _, rest = text.partition(":")
    if scheme == "unix" and rest:
        if len(os.fsencode(rest)) > MAX_UNIX_PATH:
            raise StartError(text, f"a socket path may have {MAX_UNIX_PATH} bytes, no more")
        return Address(path=rest)
    host, _, port = rest.rpartition(":")
    if scheme == "tcp" and host and port.isascii() and port.isdecimal() and int(port) < 1 << 16:
        return Address(host=host.removeprefix("[").removesuffix("]"), port=int(port))
    raise StartError(f"--listen {text}", "expected unix:PATH or tcp:HOST:PORT")


def listen(address: Address) -> socket.socket:
    """A non-blocking listening socket.

    A socket file that nobody answers on is replaced; a new one is open to its owner alone.
    Raises StartError if the address is in use or cannot be bound.
    """
    try:
        return _listen_unix(address) if address.path else _listen_tcp(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = "address in use; end the process that listens there or choose another"
        else:
            why = f"cannot listen there: {error.strerror or error}"
        raise StartError(address, why) from error


def _listen_unix(address: Address) -> socket.socket:
    _clear_stale(address)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(address.path)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    listener.settimeout(0)
    return listener


def _clear_stale(address: Address) -> None:
    try:
        mode = os.lstat(address.path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartError(address, "a file that is not a socket stands there; remove it")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address.path)
        except (ConnectionRefusedError, FileNotFoundError):
            with suppress(FileNotFoundError):
                os.unlink(address.path)  # noqa: PTH108 - a socket, not a path worth an object
            return
        except OSError:
            pass  # it did not refuse: somebody holds it
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _listen_tcp(address: Address) -> socket.socket:
    family, _, _, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by every accepted connection.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.settimeout(0)
    return listener


def bound(listener: socket.socket, address: Address) -> Address:
    """*address* with the port that the kernel chose."""
    if address.path:
        return address
    return Address(host=address.host, port=int(listener.getsockname()[1]))


def identity(address: Address) -> tuple[int, int]:
    """What tells this socket file from one that took its place; (0, 0) for TCP."""
    if not address.path:
        return (0, 0)
    status = os.lstat(address.path)
    return (status.st_dev, status.st_ino)


def remove(address: Address, of: tuple[int, int]) -> None:
    """Remove the socket file of *address* if it is still the one with the *identity* given."""
    if address.path:
        with suppress(OSError):
            if identity(address) == of:
                os.unlink(address.path)  # noqa: PTH108 - as above
