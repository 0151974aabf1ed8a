# SPDX-License-Identifier: Apache-2.0
"""Store: where values are kept by key for a while; a store may forget any of them at any time."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

V = TypeVar("V")


class Kept(Generic[V]):
    """A value found in a store, its *age* and the *ttl* that it has left, both in seconds."""

    __slots__ = ("age", "ttl", "value")

    def __init__(self, value: V, *, age: float, ttl: float) -> None:
        self.value = value
        self.age = age
        self.ttl = ttl

    def __repr__(self) -> str:
        return f"<Kept age={self.age:.3f} ttl={self.ttl:.3f}>"


class Store(Protocol[V]):
    """A store that may be far away. It fails open: what it cannot reach, it does not have."""

    async def fetch(self, key: bytes) -> Kept[V] | None:
        """The value under *key*, None if there is none or it has expired."""
        ...

    async def keep(self, key: bytes, value: V, *, size: int, ttl: float) -> bool:
        """Keep *value*, of *size* bytes, for *ttl* seconds; False where it was not taken."""
        ...

    async def aclose(self) -> None:
        """Let go of everything; the store then has nothing and takes nothing."""
        ...
