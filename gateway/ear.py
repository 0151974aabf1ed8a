# SPDX-License-Identifier: Apache-2.0
"""Ear: where a gateway process takes orders from the control process, beside the data path.

Nothing here waits on the control process: when it is dead, the gateway serves what it served.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.changeover import Changeover
from gateway.config import load
from gateway.errors import ConfigError
from gateway.wire.orders import (
    Abort,
    Commit,
    Inbox,
    Prepare,
    Purge,
    Reply,
    Settle,
    packed,
)
from gateway.wire.talks import hold_talks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Config
    from gateway.serving import Gateway
    from gateway.wire.generation import Generation
    from gateway.wire.orders import Order

log: Final = logging.getLogger(__name__)


class Ear:
    """Carries out the orders that come in at *path* on *gateway*.

    *committed* is called behind every switch to another generation.
    """

    def __init__(self, gateway: Gateway, path: Path, *, committed: Callable[[], None]) -> None:
        self._gateway = gateway
        self._path = path
        self._committed = committed
        self._prepared: Changeover | None = None
        # One change at a time, whoever asks.
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Ear {self._path} prepared={self._prepared!r}>"

    async def run(self) -> None:
        """Listen until cancelled."""
        await hold_talks(self._path, self._talk)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inbox = Inbox()
        tasks: set[asyncio.Task[None]] = set()
        try:
            while data := await reader.read(1 << 16):
                for order in inbox.orders(data):
                    task = asyncio.create_task(self._obey(order, writer))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
        except (OSError, ValueError) as error:
            log.warning("orders cannot be read: %s", error)
        finally:
            # Whoever has gone away does not wait for them any more.
            for task in tasks:
                task.cancel()
            self._drop()
            writer.close()

    async def _obey(self, order: Order, writer: asyncio.StreamWriter) -> None:
        faults: tuple[str, ...]
        try:
            if isinstance(order, Settle):
                await self._gateway.settled()
                faults = ()
            elif isinstance(order, Purge):
                faults = tuple(await self._gateway.purge(order.model, order.tenant))
            else:
                async with self._turn:
                    faults = tuple(await self._change(order))
        except Exception:  # the border of this process towards the control process
            log.exception("an order failed: %s", type(order).__name__)
            faults = ("internal error, see the log of the gateway",)
        writer.write(packed(Reply(order.id, faults)))

    async def _change(self, order: Order) -> list[str]:
        if isinstance(order, Prepare):
            return await self._prepare(order.generation)
        if isinstance(order, Commit):
            return await self._commit(order.generation)
        if isinstance(order, Abort):
            self._drop()
            return []
        return [f"a gateway does not know {type(order).__name__}"]

    async def _prepare(self, generation: Generation) -> list[str]:
        self._drop()
        try:
            change = Changeover(self._gateway, await self._config_of(generation), generation)
        except ConfigError as error:
            return list(error.faults)
        faults = ["preparing it was given up"]
        try:
            faults = await change.prepare()
        finally:
            if faults:
                change.abort()
        if not faults:
            self._prepared = change
        return faults

    async def _commit(self, generation: Generation) -> list[str]:
        if generation.number <= self._gateway.generation.number:
            return []
        change = self._prepared
        if change is None or change.generation != generation:
            # This process was not there when it was prepared, and is to serve it all the same.
            self._drop()
            try:
                config = await self._config_of(generation)
            except ConfigError as error:
                return list(error.faults)
            change = Changeover(self._gateway, config, generation)
            try:
                for fault in await change.prepare():
                    log.warning("generation %d: %s", generation.number, fault)
            except BaseException:
                change.abort()
                raise
        self._prepared = None
        change.commit()
        del change
        self._committed()
        return []

    def _drop(self) -> None:
        if self._prepared is not None:
            self._prepared.abort()
            self._prepared = None

    async def _config_of(self, generation: Generation) -> Config:
        if generation.config == self._gateway.generation.config:
            return self._gateway.config
        # Off the loop: a large file takes long to read. The models' files were looked at already.
        return await asyncio.to_thread(load, generation.config, files=False)
