# SPDX-License-Identifier: Apache-2.0
"""Selection: which inferences are sampled, by a keyed hash of their ids.

An id has one number from 0 to 1 in every process that has the key. It is below a share or not, so
that all processes choose the same ids, and a larger share chooses the same ids and more. Without
the key nobody can make up ids that are chosen, or that are not.

One hash serves for ids of our own as well: all those of one process and millisecond differ in
twelve bits that count upwards, so nothing cheaper would spread them (docs/decisions/0042).
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from tempfile import mkstemp
from typing import Final

KEY_BYTES: Final = 32
_ALL: Final = 1 << 64
_SHORTEST: Final = 16


class Selection:
    """Numbers for ids under *key*, 16 to 64 bytes; those of two *purposes* are independent.

    Raises ValueError for another key, or a purpose of more than 16 bytes.
    """

    __slots__ = ("_begun", "_purpose")

    def __init__(self, key: bytes, purpose: str = "sample") -> None:
        if not _SHORTEST <= len(key) <= blake2b.MAX_KEY_SIZE:
            raise ValueError(f"a key of {_SHORTEST} to 64 bytes is needed, not {len(key)}")
        self._purpose = purpose
        self._begun = blake2b(key=key, digest_size=8, person=purpose.encode())

    def __repr__(self) -> str:
        return f"<Selection {self._purpose}>"

    def number(self, id_: str, tenant: str = "") -> int:
        """The number of *id_*, which is of *tenant*: 0 to 2^64 - 1, each as likely."""
        digest = self._begun.copy()
        if tenant:
            told = tenant.encode("utf-8", "surrogatepass")
            # Behind its length, so that no other tenant and id read the same. No id of a request
            # without a tenant begins so, as a NUL is in none that a header could carry.
            digest.update(b"\0%d\0%b" % (len(told), told))
        digest.update(id_.encode("utf-8", "surrogatepass"))
        return int.from_bytes(digest.digest(), "little")


def threshold(share: float) -> int:
    """What `Selection.number` is below for *share* of all ids."""
    return min(_ALL, max(0, round(share * _ALL)))


def read_key(path: Path) -> bytes:
    """The key in the file *path*, which is made where there is none; raises OSError.

    Whoever comes first makes it, and all the others read that one.
    """
    with suppress(FileNotFoundError):
        return path.read_bytes()
    descriptor, draft = mkstemp(dir=path.parent)
    try:
        os.write(descriptor, os.urandom(KEY_BYTES))
        # A link is there as a whole or not at all, and fails where another was first.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.close(descriptor)
        Path(draft).unlink()
    return path.read_bytes()


def derived_key(secret: str) -> bytes:
    """The key that all who know *secret* share."""
    return blake2b(secret.encode(), digest_size=KEY_BYTES, person=b"sampling").digest()
