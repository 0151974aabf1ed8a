# SPDX-License-Identifier: Apache-2.0
"""Writer: the one thread that talks to the database, many jobs to a transaction.

What fails for the database's sake is tried again with pauses that grow; patient jobs, predictions,
wait for that in memory, all others are refused at once, so that nobody waits for a disk.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.exc import SQLAlchemyError

from gateway.quality.database import Unusable, at_fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from gateway.quality.database import Database

log: Final = logging.getLogger(__name__)

# How long the first of several patient jobs waits for others to share its transaction, in seconds.
LINGER: Final = 0.1
# Pauses between attempts at a database that fails, in seconds: the first, and the longest.
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_LATER: Final = 600.0
# So that a transaction ends, and who waits for its end is answered.
_MOST_JOBS: Final = 256


class Job:
    """*work* is done in a transaction; then *done* is called with what it gave, or the error.

    Both run in the thread; *done* once the transaction is committed. *patient*: waits while the
    database fails. *durable*: the commit outlives a loss of power. *size* counts against the bytes
    that may wait.
    """

    __slots__ = ("done", "durable", "patient", "size", "work")

    def __init__(
        self,
        work: Callable[[Connection], Any],
        done: Callable[[Any, Exception | None], None],
        *,
        patient: bool = False,
        durable: bool = True,
        size: int = 0,
    ) -> None:
        self.work = work
        self.done = done
        self.patient = patient
        self.durable = durable
        self.size = size

    def __repr__(self) -> str:
        return f"<Job {self.work!r}>"


class Writer:
    """Works on *database* in a thread of its own.

    *opened* is called with every new connection and after every transaction that was rolled back:
    what is known of the database in memory is to be read anew. *chores* are done between jobs, each
    in a transaction of its own, and give the seconds until they want to be done again. *changed*
    is told why the database cannot be used, None once it can. *most* bounds the bytes that wait.
    """

    def __init__(
        self,
        database: Database,
        *,
        opened: Callable[[Connection], None],
        chores: list[Callable[[Connection], float]],
        changed: Callable[[Unusable | None], None],
        most: int,
    ) -> None:
        self._database = database
        self._opened = opened
        self._chores = chores
        self._changed = changed
        self._most = most
        self._due: dict[int, float] = {}
        self._jobs: deque[Job] = deque()
        self._bytes = 0
        self._hurry = False
        self._closing = False
        self._wake = threading.Condition()
        self._connection: Connection | None = None
        self._fault: Unusable | None = None
        self._begun = False
        self._pause = _FIRST_PAUSE
        self._again = 0.0
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def __repr__(self) -> str:
        state = "usable" if self._fault is None else self._fault.reason
        return f"<Writer {self._database.where} {state} jobs={len(self._jobs)}>"

    def start(self) -> None:
        """Open the database, and begin."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many bytes wait."""
        return self._bytes

    def offer(self, job: Job) -> bool:
        """Have *job* done; False where too much waits already."""
        with self._wake:
            if self._closing or self._bytes + job.size > self._most:
                return False
            self._bytes += job.size
            self._jobs.append(job)
            if not job.patient:
                self._hurry = True
            if self._hurry or len(self._jobs) == 1:
                self._wake.notify()
            return True

    def close(self, patience: float = 5.0) -> None:
        """Do what waits, if the database can be used, within *patience* seconds, and end."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(patience)

    def _run(self) -> None:
        try:
            while True:
                jobs, closing = self._take()
                if self._fault is not None and monotonic() < self._again and not closing:
                    self._keep(jobs, self._fault)
                    continue
                try:
                    self._turn(jobs)
                except Unusable as fault:
                    self._failed(jobs, fault)
                if closing and (self._fault is not None or not self._jobs):
                    return
        except Exception:  # the border of this thread: what waits must be answered
            log.exception("the ledger has ended")
            self._failed([], Unusable("failed", "the ledger has ended, see the log"))
        finally:
            self._end()

    def _take(self) -> tuple[list[Job], bool]:
        """What is to be done now, and whether it is the last; waits for something to do."""
        with self._wake:
            while not self._closing and not self._hurry:
                if self._jobs and self._fault is None:
                    # Others may come that share the transaction.
                    self._wake.wait_for(lambda: self._hurry or self._closing, LINGER)
                    break
                seconds = self._next() - monotonic()
                if seconds <= 0:
                    break
                self._wake.wait(min(seconds, _LATER))
            self._hurry = False
            jobs: list[Job] = []
            while self._jobs and len(jobs) < _MOST_JOBS:
                jobs.append(self._jobs.popleft())
            if self._jobs:
                self._hurry = True
            return jobs, self._closing

    def _next(self) -> float:
        """When there is something to do again that nobody has to ask for."""
        if self._fault is not None:
            return self._again
        if self._connection is None:
            return 0.0
        due = (self._due.get(index, 0.0) for index in range(len(self._chores)))
        return min(due, default=math.inf)

    def _turn(self, jobs: list[Job]) -> None:
        """Do *jobs* and the chores that are due; raises Unusable, and *jobs* holds what is left."""
        if self._connection is None:
            self._connection = self._database.open()
            self._read_anew()
        if jobs or self._fault is not None:
            self._transaction(jobs)
        if self._fault is not None:
            log.info("the ledger is written again", extra={"ledger": self._database.where})
        if self._fault is not None or not self._begun:
            self._fault = None
            self._begun = True
            self._pause = _FIRST_PAUSE
            self._changed(None)
        for index, chore in enumerate(self._chores):
            if self._due.get(index, 0.0) <= monotonic():
                # One that fails by itself is not tried again soon.
                self._due[index] = monotonic() + _LATER
                self._transaction([Job(chore, partial(self._put_off, index), durable=False)])

    def _put_off(self, index: int, seconds: float | None, error: Exception | None) -> None:
        if error is None and seconds is not None:
            self._due[index] = monotonic() + seconds

    def _transaction(self, jobs: list[Job]) -> None:
        connection = self._connection
        assert connection is not None  # noqa: S101 - for the type checker
        durable = any(job.durable for job in jobs) or not jobs
        while True:
            results: list[Any] = []
            try:
                self._database.durable(connection, durable)
                with connection.begin():
                    # One by one into the list, which tells at which of them it failed.
                    results.extend(job.work(connection) for job in jobs)
                break
            except SQLAlchemyError as error:
                if len(results) == len(jobs) or not at_fault(error):
                    raise self._database.unusable(error) from error
                self._drop(jobs, len(results), error)
            except Unusable:
                raise
            except OSError as error:
                raise Unusable("failed", f"the ledger: {error.strerror}") from error
            except Exception as error:  # noqa: BLE001 - one job's fault is not that of the others
                self._drop(jobs, len(results), error)
        for job, result in zip(jobs, results, strict=True):
            self._done(job, result, None)
        jobs.clear()

    def _drop(self, jobs: list[Job], index: int, error: Exception) -> None:
        """Leave out the job at *index*, which fails with *error* by itself."""
        log.error("what was to be written to the ledger is at fault", exc_info=error)
        self._read_anew()
        self._done(jobs.pop(index), None, error)

    def _read_anew(self) -> None:
        assert self._connection is not None  # noqa: S101 - for the type checker
        try:
            with self._connection.begin():
                self._opened(self._connection)
        except SQLAlchemyError as error:
            raise self._database.unusable(error) from error

    def _done(self, job: Job, result: Any, error: Exception | None) -> None:  # noqa: ANN401
        with self._wake:
            self._bytes -= job.size
        job.done(result, error)

    def _failed(self, jobs: list[Job], fault: Unusable) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
        if self._fault is None or self._fault.reason != fault.reason:
            log.error("%s", fault, extra={"reason": fault.reason})
        self._fault = fault
        self._changed(fault)
        self._again = monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._keep(jobs, fault)

    def _keep(self, jobs: list[Job], fault: Unusable) -> None:
        """Put the patient ones of *jobs* back, and refuse the others."""
        with self._wake:
            self._jobs.extendleft(job for job in reversed(jobs) if job.patient)
        for job in jobs:
            if not job.patient:
                self._done(job, None, fault)

    def _end(self) -> None:
        with self._wake:
            self._closing = True
            left = list(self._jobs)
            self._jobs.clear()
        fault = self._fault or Unusable("failed", "the ledger is closed")
        for job in left:
            self._done(job, None, fault)
        if self._connection is not None:
            self._connection.close()
        self._database.close()
