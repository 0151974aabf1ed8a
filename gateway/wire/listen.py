# SPDX-License-Identifier: Apache-2.0
"""Listening sockets: bound by the supervisor, handed down to the processes that accept.

A port that is taken is known before anything is started, and new connections wait in the
socket's queue while the process behind it is started again.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from contextlib import suppress
from typing import Final

BACKLOG: Final = 4096

_SO_ATTACH_FILTER: Final = 26
# Classic BPF over the TCP header: drop the segments that have SYN among their flags (byte 13).
_NO_SYN: Final = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x45, 0, 1, 0x02),  # is SYN set? else skip one
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # take whole
)


class ListenError(Exception):
    """An address that cannot be listened on; the message names it and its key."""


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT`` or ``[IPV6]:PORT``; raises ValueError for anything else."""
    host, separator, port = address.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not separator or not host or not port.isascii() or not port.isdigit():
        raise ValueError(f"'{address}' is not HOST:PORT")
    if int(port) > 65535:
        raise ValueError(f"'{address}': a port is at most 65535")
    return host, int(port)


def address_of(listening: socket.socket) -> str:
    """``HOST:PORT`` where *listening* is bound, with brackets around an IPv6 host."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(address: str, *, key: str, count: int = 1) -> list[socket.socket]:
    """*count* sockets that listen on *address*; port 0 takes any free one, the same for all.

    One socket for each process that accepts: the kernel spreads connections over them evenly,
    while one shared socket is drained by whichever process wakes first.
    Raises ListenError; *key* is the configuration key that it tells the reader to set.
    """
    what = key.rpartition(".")[2]
    try:
        host, port = split_address(address)
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except (ValueError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise ListenError(f"{what} {address}: {said}; set {key} to HOST:PORT") from error
    family, _, _, _, where = found[0]
    sockets: list[socket.socket] = []
    try:
        # Binding alone first: a port that another program shares out would let us in unnoticed.
        first = _bound(family, where, shared=False)
        if count > 1:
            where = first.getsockname()
            first.close()
            sockets.extend(_bound(family, where, shared=True) for _ in range(count))
        else:
            sockets.append(first)
        for bound in sockets:
            bound.listen(BACKLOG)
    except OSError as error:
        for bound in sockets:
            bound.close()
        raise ListenError(f"{what} {address}: {_explain(error, key)}") from error
    return sockets


def let_nobody_in(listening: socket.socket) -> None:
    """Have the kernel drop attempts to connect to *listening*, which may still be accepted from.

    Closing a listening socket resets the connections in its queue, whatever they have sent, and no
    order of accepting and closing keeps out one that comes in between. Without new ones the queue
    can be emptied first. Whoever connects meanwhile tries again after a second, as after any lost
    packet, and is then refused. Does nothing where the kernel has no such filters.
    """
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in _NO_SYN)
    buffer = ctypes.create_string_buffer(program)
    with suppress(OSError):
        listening.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("HL", len(_NO_SYN), ctypes.addressof(buffer)),
        )


def _bound(
    family: int,
    where: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes],
    *,
    shared: bool,
) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(where)
    except OSError:
        bound.close()
        raise
    return bound


def _explain(error: OSError, key: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"address already in use; stop what listens there or set {key}"
    if error.errno == errno.EACCES:
        return f"permission denied; choose a port above 1023 or set {key}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"not an address of this machine; set {key}"
    return f"{os.strerror(error.errno or 0).lower()}; set {key}"
