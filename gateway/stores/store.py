# SPDX-License-Identifier: Apache-2.0
"""Store: where values are kept by key for a while; a store may forget any of them at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

V = TypeVar("V")


class Kept(Generic[V]):
    """A value found in a store, its *age* and the *ttl* that it has left, both in seconds.

    *cost* is how many seconds it took to make, 0.0 where nobody said.
    """

    __slots__ = ("age", "cost", "ttl", "value")

    def __init__(self, value: V, *, age: float, ttl: float, cost: float = 0.0) -> None:
        self.value = value
        self.age = age
        self.ttl = ttl
        self.cost = cost

    def __repr__(self) -> str:
        return f"<Kept age={self.age:.3f} ttl={self.ttl:.3f} cost={self.cost:.6f}>"


class Store(Protocol[V]):
    """A store that may be far away. It fails open: what it cannot reach, it does not have."""

    async def fetch(self, key: bytes) -> Kept[V] | None:
        """The value under *key*, None if there is none or it has expired."""
        ...

    async def fetch_many(self, keys: Sequence[bytes]) -> list[Kept[V] | None] | None:
        """What `fetch` would give for each of *keys*, in their order and in one go.

        None where it was asked and has not answered in time: what it has is not known.
        """
        ...

    async def keep(self, key: bytes, value: V, *, size: int, ttl: float, cost: float = 0.0) -> bool:
        """Keep *value*, of *size* bytes, for *ttl* seconds; False where it was not taken.

        *cost* is how many seconds it took to make.
        """
        ...

    async def aclose(self) -> None:
        """Let go of everything; the store then has nothing and takes nothing."""
        ...


class Shared(Store[V], Protocol[V]):
    """A store that other processes use too, which therefore also says who fills an entry."""

    @property
    def available(self) -> bool:
        """Whether it can be asked now; else all of it is answered at once, with nothing."""
        ...

    def put(self, key: bytes, value: V, size: int, *, ttl: float, cost: float = 0.0) -> bool:
        """`keep` without waiting: False where it was not taken."""
        ...

    async def lease(self, key: bytes, ttl: float) -> bytes | None:
        """A token that the caller alone is to fill *key* within *ttl* seconds, None if another is.

        The token is empty where the store cannot say: then the caller fills by itself.
        """
        ...

    def release(self, key: bytes, token: bytes) -> None:
        """Give the lease *token* back, behind the value if one was kept; an empty one is none."""
        ...

    async def wait(self, key: bytes, timeout: float) -> Kept[V] | None:
        """The value that another one's lease is to bring, waited for at most *timeout* seconds.

        None, before that, where the lease has ended without a value or the store is out of reach.
        """
        ...
