# SPDX-License-Identifier: Apache-2.0
"""Secrets of the store: read from where the configuration says, and never shown."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Final

from gateway.stores.seal import KEY_BYTES

_FILE: Final = "file:"
_SHORTEST: Final = 16


def read_secret(text: str | None, path: str) -> str:
    """What *text*, the value at *path* of the configuration, stands for; "" for None.

    Raises ValueError where its file cannot be read or is empty.
    """
    if text is None:
        return ""
    if not text.startswith(_FILE):
        return text
    name = text.removeprefix(_FILE)
    try:
        secret = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ValueError(f"{path}: the file {name}: {why}") from None
    if not secret:
        raise ValueError(f"{path}: the file {name} is empty; expected the secret alone in it")
    return secret


def read_shared_secret(text: str | None, path: str) -> bytes:
    """As `read_secret`, as bytes; raises ValueError where it is short enough to be guessed."""
    secret = read_secret(text, path).encode()
    if secret and len(secret) < _SHORTEST:
        raise ValueError(
            f"{path}: has {len(secret)} bytes; expected at least {_SHORTEST}, made at random"
        )
    return secret


def read_key(text: str, path: str) -> bytes:
    """The 32 bytes of an encryption key; raises ValueError where it is none."""
    try:
        key = base64.b64decode(read_secret(text, path), validate=True)
    except (binascii.Error, ValueError) as error:
        if str(error).startswith(path):
            raise
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(
            f"{path}: is not {KEY_BYTES} bytes as base64; make one with: openssl rand -base64 32"
        )
    return key
