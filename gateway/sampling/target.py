# SPDX-License-Identifier: Apache-2.0
"""Target: a shadow as a mirror sees it, what reads its answers, and what it may take."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from gateway.errors import DeadlineExceeded, GatewayError, Shed

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.sampling.reading import Reader
    from gateway.wire.message import Service
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Array


log: Final = logging.getLogger(__name__)


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

    *gather* seconds pass from the first request that waits until all that do are asked, or as many
    wait as may be under way: together they cost a fraction of what each costs alone, and nobody is
    in a hurry.
    """

    timeout: float = 5.0
    concurrency: int = 64
    queue_rows: int = 1024
    queue_bytes: int = 64 << 20
    gather: float = 0.05


def failed(error: BaseException | None) -> str:
    """What became of a request to a shadow that ended with *error*."""
    if isinstance(error, DeadlineExceeded):
        return "timeout"
    if isinstance(error, Shed):
        return "refused"
    if error is not None and not isinstance(error, (GatewayError, asyncio.CancelledError)):
        # A border: the caller has its answer, and nobody else would hear of this.
        log.error("asking a shadow failed", exc_info=error)
    return "failed"
