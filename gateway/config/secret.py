# SPDX-License-Identifier: Apache-2.0
"""Secret: text from a file of its own, which is used like any other and shown nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

MASK: Final = "***"
# Far more than a key or a certificate has; a wrong path must not fill the memory.
MOST: Final = 64 << 10


class Secret(str):
    """Text that is masked wherever an object shows what it holds.

    msgspec does not write it, but asks its ``enc_hook`` what to write instead: see `masked`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK


def masked(value: object) -> str:
    """An ``enc_hook`` of msgspec for what is shown; raises TypeError for all but secrets."""
    if isinstance(value, Secret):
        return MASK
    raise TypeError(f"{type(value).__name__} is no part of a configuration")


def read_secret(path: str) -> Secret:
    """The content of the file at *path* without line breaks at its end.

    Raises ValueError, which names the path and nothing of the content, where it cannot be read, is
    empty, larger than `MOST` bytes, or no text in UTF-8.
    """
    if not path:
        raise ValueError("expected the path of a file behind file:")
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"file: is not followed by a path: {error}") from error
    if len(data) > MOST:
        raise ValueError(f"the file {path} is larger than {MOST} bytes; expected one secret in it")
    try:
        text = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        # Its own words would show a part of what was read.
        raise ValueError(f"the file {path} is not text in UTF-8") from None
    if not text:
        raise ValueError(f"the file {path} is empty; expected a secret in it")
    return Secret(text)
