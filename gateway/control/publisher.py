# SPDX-License-Identifier: Apache-2.0
"""Publisher: brings a generation into effect in all processes, and tidies up behind it.

First its new workers are started and ready; then all gateways have connected to them; then it is
written down, and from there on it holds, whoever dies; then the gateways switch. What nothing asks
for any more is ended after the last gateway has no use for it. A fault before it is written down
leaves everything as it was.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.control.peer import Peer, PeerGone
from gateway.wire.generation import write_generation
from gateway.wire.orders import (
    Abort,
    Commit,
    Keep,
    Prepare,
    Purge,
    Settle,
    Start,
    orders_socket,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gateway.wire.generation import Generation
    from gateway.wire.orders import Order

log: Final = logging.getLogger(__name__)

# How long processes that are being started anew are waited for before a change.
PATIENCE: Final = 10.0
# How long a gateway that is there may take; connecting alone may take it ten seconds.
ANSWER: Final = 30.0
_AGAIN: Final = 0.2


class OperationFailed(Exception):
    """Nothing has changed, because of *faults*; *invalid*: what was asked for was wrong."""

    def __init__(self, faults: Iterable[str], *, invalid: bool = False) -> None:
        self.faults = list(faults)
        self.invalid = invalid
        super().__init__("; ".join(self.faults))


class Publisher:
    """The supervisor and the *gateways* of the runtime directory, as far as generations go.

    *generation* is the one in effect.
    """

    def __init__(self, generation: Generation, *, runtime: Path, gateways: int) -> None:
        self.generation = generation
        self._runtime = runtime
        self._supervisor = Peer(
            "supervisor", orders_socket(runtime, "supervisor"), greet=self._nothing
        )
        self._gateways = [
            Peer(name, orders_socket(runtime, name), greet=self._catch_up)
            for name in (f"gateway-{index}" for index in range(gateways))
        ]
        # Workers that are being started for a generation which is not in effect yet.
        self._starting: set[str] = set()
        # Workers that may run still, although nothing asks for them any more.
        self.fading: set[str] = set()
        self._former = ""
        self._untidy = asyncio.Event()
        self._tidying = asyncio.Lock()
        # Until the first tidying, what an earlier life of this process began may still run.
        self._clean = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Publisher {self.generation.number} fading={sorted(self.fading)}>"

    @property
    def taken(self) -> set[str]:
        """The names that no new worker may have."""
        return self.generation.names() | self._starting | self.fading

    async def run(self) -> None:
        """Keep in touch with all processes, and tidy up, until cancelled."""
        self._untidy.set()
        async with asyncio.TaskGroup() as group:
            for peer in (self._supervisor, *self._gateways):
                group.create_task(peer.run())
            while True:
                await self._untidy.wait()
                try:
                    await self.tidy()
                except PeerGone:
                    await asyncio.sleep(_AGAIN)

    async def publish(self, generation: Generation) -> None:
        """Bring *generation* into effect everywhere; raises OperationFailed, and nothing changed.

        For one caller at a time.
        """
        await self._ready()
        before = self.generation
        self._starting = generation.names() - before.names()
        try:
            await self._start(generation)
            await self._prepare(generation)
        except OperationFailed:
            self.fading |= self._starting
            self._starting = set()
            self._untidy.set()
            raise
        if before.config != generation.config:
            self._former = before.config
        self.generation = generation
        self.fading = (self.fading | before.names()) - generation.names()
        self._starting = set()
        for fault in await self._to_gateways(partial(Commit, generation=generation)):
            log.error("generation %d is not served everywhere: %s", generation.number, fault)
        self._untidy.set()

    async def purge(self, model: str | None, tenant: str | None) -> list[str]:
        """Have all gateways forget what is cached; gives what stands in the way.

        One that is being started anew has nothing yet.
        """
        return await self._to_gateways(partial(Purge, model=model, tenant=tenant))

    async def tidy(self) -> None:
        """End what no longer is asked for, once no gateway needs it; raises PeerGone."""
        async with self._tidying:
            self._untidy.clear()
            try:
                number, fading = self.generation.number, set(self.fading)
                # However long: what a gateway may need still is not taken from it.
                await self._to_gateways(Settle, patience=None)
                names = self.generation.names() | self._starting
                await self._supervisor.ask(partial(Keep, names=tuple(sorted(names))))
            except BaseException:
                self._untidy.set()
                raise
            self.fading -= fading - names
            self._clean.set()
            for path in self._runtime.glob("config-*.yaml"):
                # The one before stays: a gateway that is just starting may be about to read it.
                if str(path) not in {self.generation.config, self._former} and (
                    int(path.stem.removeprefix("config-")) < number
                ):
                    path.unlink(missing_ok=True)

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._clean.wait()
        except TimeoutError:
            raise OperationFailed(["the supervisor does not answer; try again"]) from None
        try:
            async with asyncio.timeout(PATIENCE):
                for peer in self._gateways:
                    await peer.came_up()
        except TimeoutError:
            # It is being started anew, again and again perhaps, and a reload may be what mends it.
            log.warning("a gateway process is not there; it will begin with the new generation")

    async def _start(self, generation: Generation) -> None:
        if not self._starting:
            return
        try:
            faults = await self._supervisor.ask(partial(Start, generation=generation))
        except PeerGone as error:
            raise OperationFailed([str(error)]) from error
        if faults:
            raise OperationFailed(faults)

    async def _prepare(self, generation: Generation) -> None:
        faults = await self._to_gateways(partial(Prepare, generation=generation))
        if not faults:
            try:
                write_generation(self._runtime, generation)
            except OSError as error:
                faults = [f"{error.filename}: {error.strerror}"]
        if faults:
            await self._to_gateways(Abort)
            raise OperationFailed(faults)

    async def _to_gateways(
        self, make: Callable[[int], Order], *, patience: float | None = ANSWER
    ) -> list[str]:
        """The faults of all gateways, each once; one that is not there has none."""
        told = await asyncio.gather(*(self._ask(peer, make, patience) for peer in self._gateways))
        return list(dict.fromkeys(fault for faults in told for fault in faults))

    @staticmethod
    async def _ask(
        peer: Peer, make: Callable[[int], Order], patience: float | None
    ) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(patience):
                return await peer.ask(make)
        except PeerGone:
            # What is started anew begins with the generation in effect; see also `_catch_up`.
            return ()
        except TimeoutError:
            return (f"{peer.name} does not answer within {patience:g} s",)

    async def _catch_up(self, peer: Peer) -> None:
        """A gateway may have read the generation just before another one came into effect."""
        for fault in await peer.ask(partial(Commit, generation=self.generation)):
            log.error("%s cannot serve generation %d: %s", peer.name, self.generation.number, fault)

    async def _nothing(self, peer: Peer) -> None:
        """The supervisor needs no greeting."""
