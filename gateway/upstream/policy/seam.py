# SPDX-License-Identifier: Apache-2.0
"""Policy: the seam between a pool, which filters, and whatever picks among what it lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random


class Loaded(Protocol):
    """What a policy may look at."""

    @property
    def name(self) -> str:
        """Its name in the pool; it stays the same while the endpoint is in it."""
        ...

    @property
    def pending(self) -> int:
        """Attempts sent and not answered."""
        ...

    @property
    def pending_rows(self) -> int:
        """Rows sent and not answered."""
        ...

    @property
    def weight(self) -> float:
        """The share that the operator gave it, 1 by default."""
        ...


class Policy(Protocol):
    """The seam: one decision over at least one endpoint, without I/O."""

    def pick(self, ready: Sequence[Loaded], key: bytes = b"") -> int:
        """The index in *ready* of the endpoint to use; *ready* is never empty.

        *key* is what the request is to be placed by; it is empty unless the policy is `Keyed`.
        """
        ...


@runtime_checkable
class Keyed(Protocol):
    """A policy that places requests by what they are: by a *header*, or by the whole question."""

    @property
    def header(self) -> str:
        """The name of the header in lower case; "" for the question that the cache would ask."""
        ...


@runtime_checkable
class Learning(Protocol):
    """A policy that goes by how long attempts take."""

    def attempted(self, name: str, seconds: float, *, good: bool) -> None:
        """An attempt at the endpoint *name* ended after *seconds*, with an answer if *good*."""
        ...


@runtime_checkable
class Informed(Protocol):
    """A policy that goes by what workers say of themselves."""

    def began(self, name: str) -> None:
        """A worker has come up as the endpoint *name*."""
        ...

    def reported(self, name: str, rows: int) -> None:
        """The worker has *rows* that others than this server sent it."""
        ...


class PolicyConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="name"):
    """The options of a policy; a policy that has none can be named alone."""

    def make(self, *, rng: Random, clock: Callable[[], float]) -> Policy:
        """A policy of its own for one pool; *clock* gives instants in seconds."""
        raise NotImplementedError
