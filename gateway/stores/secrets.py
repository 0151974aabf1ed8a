# SPDX-License-Identifier: Apache-2.0
"""Secrets of the store: what they must be; an error never shows one."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from gateway.stores.seal import KEY_BYTES

_SHORTEST: Final = 16


def shared_secret(text: str | None, path: str) -> bytes:
    """*text*, the value at *path* of the configuration, as bytes; none for None.

    Raises ValueError where it is short enough to be guessed.
    """
    secret = (text or "").encode()
    if secret and len(secret) < _SHORTEST:
        raise ValueError(
            f"{path}: has {len(secret)} bytes; expected at least {_SHORTEST}, made at random"
        )
    return secret


def encryption_key(text: str, path: str) -> bytes:
    """The 32 bytes of an encryption key; raises ValueError where it is none."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(
            f"{path}: is not {KEY_BYTES} bytes as base64; make one with: openssl rand -base64 32"
        )
    return key
