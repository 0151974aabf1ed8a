# SPDX-License-Identifier: Apache-2.0
"""Ledger: what the control process remembers of predictions, labels and decisions.

All calls are for the event loop; the database is asked by the one thread of `Writer`.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.quality import records
from gateway.quality.database import Database, Unusable
from gateway.quality.labels import labels_of
from gateway.quality.writer import Job, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from gateway.quality.labels import Label
    from gateway.quality.records import AuditEntry, Decision
    from gateway.telemetry import Telemetry

T = TypeVar("T")

OK: Final = "ok"


class Ledger:
    """The ledger at *url*; the database is opened with the first use.

    *busy* in seconds bounds the wait for a locked database, *most* in bytes what may wait for it.
    *loop* is the event loop from which it was opened.
    *clock* is wall-clock time.
    """

    def __init__(
        self,
        url: str,
        *,
        telemetry: Telemetry,
        busy: float = 2.0,
        most: int = 64 << 20,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self.telemetry = telemetry
        self.loop: asyncio.AbstractEventLoop | None = None
        self.chores: list[Callable[[Connection], float]] = []
        self._readers: list[Callable[[Connection], None]] = []
        self._database = Database(url, busy=busy)
        self._writer = Writer(
            self._database,
            opened=self._read_anew,
            chores=self.chores,
            changed=self._changed,
            most=most,
        )
        self._fault: Unusable | None = None
        telemetry.on_collect(self._fill)
        self._usable = False
        self.opened = False

    def __repr__(self) -> str:
        return f"<Ledger {self._writer!r}>"

    @property
    def state(self) -> str:
        """``ok``, or in a word why the database cannot be used now.

        ``closed`` before its use, and ``opening`` then.
        """
        if not self.opened:
            return "closed"
        if self._fault is not None:
            return self._fault.reason
        return OK if self._usable else "opening"

    @property
    def status(self) -> dict[str, Any]:
        """The state for an operator."""
        return {
            "state": self.state,
            "message": "" if self._fault is None else str(self._fault),
            "where": self._database.where,
            "waiting_bytes": self._writer.waiting,
        }

    def on_open(self, read: Callable[[Connection], None]) -> None:
        """Have *read* called, in the thread, when the database was opened or rolled back."""
        self._readers.append(read)

    def open(self) -> None:
        """Open the database soon; on the event loop."""
        if not self.opened:
            self.loop = asyncio.get_running_loop()
            self.opened = True
            self._writer.start()

    async def aclose(self) -> None:
        """Write what waits, and close."""
        if self.opened:
            await asyncio.to_thread(self._writer.close)

    def offer(self, job: Job) -> bool:
        """Have *job* done; False where too much waits already."""
        self.open()
        return self._writer.offer(job)

    async def ask(
        self,
        work: Callable[[Connection], T],
        *,
        size: int = 0,
        told: Callable[[T], None] | None = None,
    ) -> T:
        """What *work* gives, done in a transaction that is on disk then; raises Unusable.

        *size* in bytes counts against what may wait. *told* is given it on the event loop, in the
        order in which things are written, whether or not the caller still waits.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def done(result: T, error: Exception | None) -> None:
            loop.call_soon_threadsafe(_settle, answer, result, error, told)

        if not self.offer(Job(work, done, size=size)):
            raise Unusable("failed", f"the ledger {self._database.where} has too much to do")
        return await answer

    async def keep(self, name: str, data: bytes | None) -> None:
        """Keep *data* as *name* in place of what was; None: forget it. Raises Unusable."""
        await self.ask(lambda connection: records.keep(connection, name, data, self._clock()))

    async def kept(self, name: str) -> bytes | None:
        """What was last kept as *name*; raises Unusable."""
        return await self.ask(lambda connection: records.kept(connection, name))

    async def decide(self, model: str, candidate: str, outcome: str, evidence: object) -> int:
        """Write a decision down, *evidence* as JSON; gives its number. Raises Unusable."""
        now = self._clock()
        return await self.ask(
            partial(
                records.decide,
                model=model,
                candidate=candidate,
                outcome=outcome,
                evidence=evidence,
                now=now,
            )
        )

    async def decisions(self, model: str = "", *, limit: int = 100) -> list[Decision]:
        """The last decisions about *model*, "" for all, the newest first; raises Unusable."""
        return await self.ask(partial(records.decisions, model=model, limit=limit))

    async def append(
        self, action: str, *, model: str = "", actor: str = "", detail: object = None
    ) -> int:
        """Write *action* into the audit log; gives the number of the entry. Raises Unusable."""
        now = self._clock()
        return await self.ask(
            partial(records.append, action=action, model=model, actor=actor, detail=detail, now=now)
        )

    async def audit(
        self, model: str = "", *, before: int = 0, limit: int = 100
    ) -> list[AuditEntry]:
        """The last entries about *model*, "" for all, below number *before*, the newest first.

        Raises Unusable.
        """
        return await self.ask(partial(records.audit, model=model, before=before, limit=limit))

    async def labels(self, tenant: str, id_: str) -> list[Label]:
        """All labels of an id, in the order in which they came; raises Unusable."""
        found = await self.ask(partial(labels_of, ids=[id_]))
        return [each for who, several in found.items() if who.tenant == tenant for each in several]

    def _read_anew(self, connection: Connection) -> None:
        for read in self._readers:
            read(connection)

    def _fill(self) -> None:
        if self.opened:
            self.telemetry.quality.ledger_up.cell().value = float(self._usable)
            self.telemetry.quality.ledger_waiting_bytes.cell().value = self._writer.waiting

    def _changed(self, fault: Unusable | None) -> None:
        if fault is not None:
            self.telemetry.quality.ledger_errors.cell(fault.reason).value += 1
        self._usable = fault is None
        self._fault = fault


def _settle(
    answer: asyncio.Future[T],
    result: T,
    error: Exception | None,
    told: Callable[[T], None] | None,
) -> None:
    if told is not None and error is None:
        told(result)
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
