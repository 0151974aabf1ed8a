# SPDX-License-Identifier: Apache-2.0
"""Greeting: a coordinator and an agent prove to each other that they know the same secret.

Each sends 32 random bytes and gets them back under the secret (HMAC-SHA256), so that the secret
itself never travels. What follows is neither secret nor sealed: it belongs into a trusted network.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket

# What both begin with: a port of something else is recognised by it.
HELLO: Final = b"infergate-bench 1\n"
_NONCE: Final = 32


class Stranger(OSError):
    """The other end is no agent, or does not know the secret."""


def _proof(secret: str, role: bytes, nonce: bytes) -> bytes:
    return hmac.new(secret.encode(), role + nonce, hashlib.sha256).digest()


async def introduce(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secret: str
) -> None:
    """The coordinator's side. Raises Stranger, or OSError where the connection ends."""
    ours = secrets.token_bytes(_NONCE)
    try:
        hello = await reader.readexactly(len(HELLO))
        if hello != HELLO:
            raise Stranger(0, "is no agent of infergate bench, or one of another version")
        nonce = await reader.readexactly(_NONCE)
        writer.write(HELLO + _proof(secret, b"coordinator", nonce) + ours)
        answer = await reader.readexactly(_NONCE)
    except (asyncio.IncompleteReadError, ConnectionResetError):
        raise Stranger(0, "does not accept the secret, or has no process left") from None
    if not hmac.compare_digest(answer, _proof(secret, b"agent", ours)):
        raise Stranger(0, "does not know the secret")


def receive(connection: socket.socket, secret: str) -> bytes:
    """The agent's side, over a blocking socket of which not a byte too many is read.

    Gives what to answer once there is a process for the coordinator. Raises Stranger, or OSError
    where the connection ends or is too slow for its timeout.
    """
    nonce = secrets.token_bytes(_NONCE)
    connection.sendall(HELLO + nonce)
    if _exactly(connection, len(HELLO)) != HELLO:
        raise Stranger(0, "is no coordinator of infergate bench, or one of another version")
    # Read to the end before it is judged: closing on unread bytes would be a reset, not an answer.
    proof, theirs = _exactly(connection, _NONCE), _exactly(connection, _NONCE)
    if not hmac.compare_digest(proof, _proof(secret, b"coordinator", nonce)):
        raise Stranger(0, "does not know the secret")
    return _proof(secret, b"agent", theirs)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise Stranger(0, "has hung up")
        data += more
    return data
