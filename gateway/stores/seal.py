# SPDX-License-Identifier: Apache-2.0
"""Seals: how a stored value proves that it is what was written under this very key.

A checksum finds accidents, a keyed MAC finds strangers who can write to the store, and AES-GCM also
keeps those who can read it from learning anything. Each covers the entry's key, so that a value
that was moved to another key is refused like one that was changed.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from hmac import compare_digest
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.wire.tensor import Buffer

TAG: Final = 16
NONCE: Final = 12
KEY_BYTES: Final = 32
NO_KEY: Final = bytes(4)


class UnknownKey(Exception):
    """A value was sealed with a key that this process does not have."""


class Seal(Protocol):
    """*kind* is its number in a frame, *key_id* (4 bytes) names the key that `close` uses."""

    kind: int
    key_id: bytes

    def close(self, key: bytes, head: bytes, body: Sequence[Buffer]) -> list[Buffer]:
        """What to write behind *head* for a value of *body* under *key*."""
        ...

    def open(self, key: bytes, key_id: bytes, head: Buffer, sealed: memoryview) -> Buffer | None:
        """The body in *sealed*, None where it is not what was written under *key*.

        Raises UnknownKey where *key_id* is none of this seal's.
        """
        ...


def fingerprint(secret: bytes) -> bytes:
    """4 bytes that name *secret* without telling anything of it."""
    return blake2b(secret, digest_size=4, person=b"infergate-id").digest()


class Digest:
    """BLAKE2b over key, head and body: with a *secret* a MAC, without one a checksum."""

    def __init__(self, secret: bytes = b"") -> None:
        self.kind = 1 if secret else 0
        self.key_id = fingerprint(secret) if secret else NO_KEY
        # BLAKE2b takes keys of at most 64 bytes; whatever the secret's length, this is one.
        own = blake2b(secret, digest_size=32, person=b"infergate-mac").digest() if secret else b""
        self._start = blake2b(key=own, digest_size=TAG, person=b"infergate-seal")

    def __repr__(self) -> str:
        return f"<Digest {'keyed' if self.kind else 'unkeyed'}>"

    def close(self, key: bytes, head: bytes, body: Sequence[Buffer]) -> list[Buffer]:
        """See `Seal.close`: the body as it is, and 16 bytes behind it."""
        hashed = self._start.copy()
        hashed.update(_bound(key, head))
        for part in body:
            hashed.update(part)
        return [*body, hashed.digest()]

    def open(self, key: bytes, key_id: bytes, head: Buffer, sealed: memoryview) -> Buffer | None:
        """See `Seal.open`; the body is a part of *sealed*."""
        if key_id != self.key_id:
            raise UnknownKey
        body = sealed[:-TAG]
        hashed = self._start.copy()
        hashed.update(_bound(key, head))
        hashed.update(body)
        return body if compare_digest(hashed.digest(), sealed[-TAG:]) else None


class AesGcm:
    """AES-256-GCM with a key of its own for each entry, made of one of *secrets* (32 bytes each).

    The first secret seals, any opens: to rotate, a new one is put in front, and the old one is
    taken away when what it sealed has expired. As each entry has its own key, the number of values
    that random nonces allow for one key (2^32) is one of writes to one entry, which no cache comes
    near. *nonce* gives 12 random bytes.
    """

    kind = 2

    def __init__(
        self, secrets: Sequence[bytes], *, nonce: Callable[[int], bytes] = os.urandom
    ) -> None:
        if not secrets:
            raise ValueError("no encryption key given; expected at least one")
        if any(len(secret) != KEY_BYTES for secret in secrets):
            raise ValueError(f"an encryption key must have {KEY_BYTES} bytes")
        if find_spec("cryptography") is None:
            raise ValueError(
                "encryption needs the package cryptography: install infergate[encryption]"
            )
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        self._cipher = AESGCM
        self._invalid = InvalidTag
        self._secrets = {fingerprint(secret): secret for secret in secrets}
        if len(self._secrets) != len(secrets):
            raise ValueError("an encryption key is there twice; remove one of them")
        self._nonce = nonce
        self.key_id = fingerprint(secrets[0])

    def __repr__(self) -> str:
        return f"<AesGcm {len(self._secrets)} keys>"

    def close(self, key: bytes, head: bytes, body: Sequence[Buffer]) -> list[Buffer]:
        """See `Seal.close`: a nonce, then the encrypted body with its tag."""
        nonce = self._nonce(NONCE)
        cipher = self._cipher(_entry_key(self._secrets[self.key_id], key))
        return [nonce, cipher.encrypt(nonce, b"".join(body), _bound(key, head))]

    def open(self, key: bytes, key_id: bytes, head: Buffer, sealed: memoryview) -> Buffer | None:
        """See `Seal.open`; the body is decrypted into a buffer of its own."""
        secret = self._secrets.get(key_id)
        if secret is None:
            raise UnknownKey
        cipher = self._cipher(_entry_key(secret, key))
        try:
            return cipher.decrypt(sealed[:NONCE], sealed[NONCE:], _bound(key, head))
        except (self._invalid, ValueError):  # ValueError: shorter than a nonce and a tag
            return None


def _bound(key: bytes, head: Buffer) -> bytes:
    """What a value is bound to; the length in front keeps the two apart."""
    return b"".join((len(key).to_bytes(4, "little"), key, head))


def _entry_key(secret: bytes, key: bytes) -> bytes:
    return blake2b(key, key=secret, digest_size=KEY_BYTES, person=b"infergate-aes").digest()
