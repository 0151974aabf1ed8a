# SPDX-License-Identifier: Apache-2.0
"""The writer: what waits while the database fails, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from gateway.quality.database import Database, Unusable
from gateway.quality.tables import KEPT
from gateway.quality.writer import Job, Writer


class Breaking(Database):
    """A database that cannot be opened while *broken* is set."""

    def __init__(self, url: str) -> None:
        super().__init__(url, busy=0.1)
        self.broken = threading.Event()

    def open(self) -> Connection:
        """See Database."""
        if self.broken.is_set():
            raise Unusable("unreachable", "it is broken")
        return super().open()


class Bench:
    """A writer over a database in *directory*."""

    def __init__(self, directory: Path, *, most: int = 1000) -> None:
        self.database = Breaking(f"sqlite:///{directory / 'ledger.sqlite3'}")
        self.faults: list[str | None] = []
        self.came = threading.Condition()
        self.reads = 0
        self.writer = Writer(
            self.database, opened=self._read, chores=[], changed=self._changed, most=most
        )

    def _read(self, _: Connection) -> None:
        self.reads += 1

    def _changed(self, fault: Unusable | None) -> None:
        with self.came:
            self.faults.append(None if fault is None else fault.reason)
            self.came.notify_all()

    def wait_for(self, fault: str | None) -> None:
        """Wait until the writer has said *fault*."""
        with self.came:
            assert self.came.wait_for(lambda: fault in self.faults, 20)

    def do(self, work: Callable[[Connection], Any], **options: Any) -> Future[Any]:
        """Have *work* done."""
        answer: Future[Any] = Future()

        def done(result: Any, error: Exception | None) -> None:
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)

        if not self.writer.offer(Job(work, done, **options)):
            answer.set_exception(OverflowError())
        return answer


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    """A bench, closed at the end."""
    made = Bench(tmp_path)
    yield made
    made.writer.close()


def write(name: str) -> Callable[[Connection], Any]:
    """Work that writes *name*."""
    return lambda connection: (
        connection.execute(insert(KEPT).values(name=name, time=0, data=b"")).rowcount
    )


def names(connection: Connection) -> list[str]:
    """What was written."""
    return list(connection.scalars(select(KEPT.c.name).order_by(KEPT.c.name)))


def test_predictions_wait_while_the_database_fails_and_the_rest_is_refused(bench: Bench) -> None:
    """Nobody who asks waits for a disk; what was handed over is written once it is back."""
    bench.database.broken.set()
    bench.writer.start()
    patient = bench.do(write("patient"), patient=True)
    bench.wait_for("unreachable")
    with pytest.raises(Unusable, match="broken"):
        bench.do(names).result(20)
    assert not patient.done()
    bench.database.broken.clear()
    assert patient.result(20) == 1
    bench.wait_for(None)
    assert bench.do(names).result(20) == ["patient"]


def test_what_does_not_fit_is_refused(bench: Bench) -> None:
    """By its size, until what waits is done."""
    bench.database.broken.set()
    bench.writer.start()
    first = bench.do(write("a"), patient=True, size=600)
    second = bench.do(write("b"), patient=True, size=600)
    with pytest.raises(OverflowError):
        second.result(20)
    bench.database.broken.clear()
    first.result(20)
    assert bench.do(write("c"), patient=True, size=600).result(20) == 1
    assert bench.writer.waiting == 0


def test_one_job_at_fault_does_not_take_others_with_it(bench: Bench) -> None:
    """They are done without it, and what is in memory is read anew."""
    release = threading.Event()
    bench.writer.start()
    held = bench.do(lambda _: release.wait(20))
    jobs = [bench.do(write(name)) for name in ("a", "b", "b", "c")]
    wrong = bench.do(lambda _: 1 // 0)
    after = bench.do(names)
    release.set()
    assert held.result(20)
    assert [each.exception(20) is None for each in jobs] == [True, True, False, True]
    with pytest.raises(ZeroDivisionError):
        wrong.result(20)
    assert after.result(20) == ["a", "b", "c"]
    assert bench.reads == 3


def test_closing_does_what_waits(tmp_path: Path) -> None:
    """And then nothing more."""
    bench = Bench(tmp_path)
    bench.writer.start()
    jobs = [bench.do(write(str(each)), patient=True) for each in range(20)]
    bench.writer.close()
    assert all(job.done() and job.exception() is None for job in jobs)
    with pytest.raises(OverflowError):
        bench.do(names).result(20)


def test_closing_does_not_wait_for_a_database_that_fails(tmp_path: Path) -> None:
    """Who waits is told."""
    bench = Bench(tmp_path)
    bench.database.broken.set()
    bench.writer.start()
    job = bench.do(write("a"), patient=True)
    bench.wait_for("unreachable")
    bench.writer.close()
    with pytest.raises(Unusable):
        job.result(20)
