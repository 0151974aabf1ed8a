# SPDX-License-Identifier: Apache-2.0
"""Target: a shadow as a mirror sees it, what reads its answers, and what it may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.sampling.reading import Reader
    from gateway.wire.message import Service
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Array


class Target(Protocol):
    """A model as it is asked as a shadow."""

    @property
    def info(self) -> ModelInfo | None:
        """What clients see of it; None until a worker has said what it serves."""
        ...

    @property
    def reader(self) -> Reader | None:
        """Reads its answers, where it has a section ``quality``."""
        ...

    def shadowed(self, *, cache: bool) -> Service:
        """Its stack below Sample, or below its *cache*."""
        ...


class Witness(NamedTuple):
    """A shadow as one of the pair: its *name*, and what reads it and learns from the pair."""

    name: str
    reader: Reader
    learn: Callable[[Array, Array], None]


class Limits(NamedTuple):
    """What a mirror may take; see the section ``shadow``.

    *gather* seconds pass from the first request that waits until all that do are asked: together
    they cost a fraction of what each costs alone, and nobody is in a hurry.
    """

    timeout: float = 5.0
    concurrency: int = 64
    queue_rows: int = 1024
    queue_bytes: int = 64 << 20
    gather: float = 0.01
