# SPDX-License-Identifier: Apache-2.0
"""Watching: the configuration file and the model directories, for changes that nobody tells of."""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.placement import model_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import Config
    from gateway.control.operations import Operations
    from gateway.wire.generation import Generation

Sight = tuple[bytes, frozenset[tuple[str, str]]]


class Standstill:
    """Tells a change once, when it has stood still from one look to the next.

    What is being saved or copied looks different at every look. *known* is what is in effect.
    """

    def __init__(self, known: Sight) -> None:
        self._known = known
        self._last = known

    def __repr__(self) -> str:
        return f"<Standstill {'moving' if self._last != self._known else 'still'}>"

    def changed(self, now: Sight) -> bool:
        """Whether *now*, the result of a look, is a change to act upon."""
        still, self._last = now == self._last, now
        if not still or now == self._known:
            return False
        self._known = now
        return True


def look(source: str, config: Config) -> Sight:
    """What lies there: the digest of the file *source*, and the model files that it leads to.

    A file that cannot be read has a digest too, so that its loss is a change.
    """
    workers = (
        each.worker
        for model in config.models.values()
        for each in model.backends
        if each.worker is not None
    )
    return _digest(source), frozenset(model_file(worker) for worker in workers)


def in_effect(generation: Generation) -> Sight:
    """The same of what is in effect, wherever the files are by now."""
    files = frozenset((place.version, place.file) for place in generation.places)
    return _digest(generation.config), files


def _digest(path: str) -> bytes:
    try:
        return blake2b(Path(path).read_bytes(), digest_size=16).digest()
    except OSError:
        return b""


async def watch(
    operations: Operations, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> None:
    """Ask *operations* for a reload behind every change, while its configuration wants that."""
    standstill = Standstill(in_effect(operations.generation))
    while True:
        options = operations.config.server.reload
        await sleep(options.interval)
        if not options.watch:
            standstill = Standstill(in_effect(operations.generation))
            continue
        # Off the loop: a model directory may lie on a slow disk.
        now = await asyncio.to_thread(look, operations.source, operations.config)
        if standstill.changed(now):
            operations.ask_for_reload()
