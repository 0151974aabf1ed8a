# SPDX-License-Identifier: Apache-2.0
"""Workforce: workers that come and go while the whole serves, each with an answer to who asked.

A worker that is started now is on trial until it is ready: one that ends before that is not tried
again, since the workers that it was to take the place of are still there. It decides and does no
input or output of its own, like `Watch`.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from gateway.supervisor.child import Kind, Process, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from gateway.supervisor.child import Child

    Answer = Callable[[tuple[str, ...]], None]


class _Errand:
    """One order under way: the names that it still waits for, and what has gone wrong."""

    def __init__(self, waits_for: set[str], answer: Answer) -> None:
        self.waits_for = waits_for
        self.faults: list[str] = []
        self._answer = answer

    def settle(self, name: str, fault: str = "") -> None:
        """*name* is no longer waited for; answers with the last one."""
        if name in self.waits_for:
            self.waits_for.discard(name)
            if fault:
                self.faults.append(fault)
            self.finish_if_done()

    def finish_if_done(self) -> None:
        if not self.waits_for:
            self._answer(tuple(self.faults))


class Workforce:
    """Changes among *processes*, the list of `Watch`.

    *patience* is the time in seconds that a worker gets to become ready, *grace* that to end.
    *hire* makes the process for a child. *clock* gives the present instant.
    """

    def __init__(
        self,
        processes: list[Process],
        *,
        clock: Callable[[], float],
        patience: float = 60.0,
        grace: float = 35.0,
        hire: Callable[[Child], Process] = Process,
    ) -> None:
        self._processes = processes
        self._clock = clock
        self._patience = patience
        self._grace = grace
        self._hire = hire
        self._trials: dict[str, tuple[Process, float]] = {}
        self._leaving: dict[str, tuple[Process, float]] = {}
        self._errands: list[_Errand] = []

    def __repr__(self) -> str:
        return f"<Workforce on trial: {list(self._trials)} leaving: {list(self._leaving)}>"

    def start(self, children: Iterable[Child], answer: Answer) -> None:
        """Start those of *children* that do not run; *answer* once all are ready or have failed."""
        there = {process.child.name for process in self._processes}
        wanted = list(children)
        fresh = [child for child in wanted if child.name not in there]
        errand = _Errand({child.name for child in fresh}, answer)
        errand.faults += [
            f"{child.name} is still ending; ask again once it has"
            for child in wanted
            if child.name in self._leaving
        ]
        # Somebody may have asked for it before and gone away since.
        errand.waits_for |= {child.name for child in wanted if child.name in self._trials}
        self._errands.append(errand)
        for child in fresh:
            process = self._hire(child)
            try:
                process.start()
            except OSError as error:
                fault = f"{child.name} cannot be started: {child.argv[0]}: {error.strerror}"
                errand.settle(child.name, fault)
            else:
                self._processes.append(process)
                self._trials[child.name] = (process, self._clock() + self._patience)
        if not fresh:
            errand.finish_if_done()
        self._forget_finished()

    def keep(self, names: Collection[str], answer: Answer) -> None:
        """End all workers but *names*; *answer* once they are gone."""
        ending = [
            process
            for process in self._processes
            if process.child.kind is Kind.WORKER and process.child.name not in names
        ]
        errand = _Errand({process.child.name for process in ending}, answer)
        self._errands.append(errand)
        for process in ending:
            name = process.child.name
            if name in self._leaving:
                continue
            self._trials.pop(name, None)
            self._settle(name, f"{name} was ended before it was ready", but=errand)
            process.restart_at = None
            if process.pid:
                self._leaving[name] = (process, self._clock() + self._grace)
                process.send(signal.SIGTERM)
            else:
                self._processes.remove(process)
                errand.settle(name)
        if not ending:
            errand.finish_if_done()
        self._forget_finished()

    def became_ready(self) -> None:
        """Some process said that it is ready: see whether it was on trial."""
        for name, (process, _) in list(self._trials.items()):
            if process.ready:
                del self._trials[name]
                self._settle(name)

    def ended(self, process: Process, status: int) -> bool:
        """*process* is gone; True if it is not to be started again."""
        name = process.child.name
        if self._trials.pop(name, None) is not None:
            why = process.complaint or f"ended before it was ready: {reason(status)}"
            self._processes.remove(process)
            self._settle(name, f"{name}: {why}")
            return True
        if self._leaving.pop(name, None) is not None:
            self._processes.remove(process)
            self._settle(name)
            return True
        return False

    def tick(self) -> None:
        """Kill what has had its time."""
        now = self._clock()
        for name, (process, due) in list(self._trials.items()):
            if due <= now:
                process.complaint = f"not ready after {self._patience:g} s"
                self._trials[name] = (process, float("inf"))
                process.send(signal.SIGKILL)
        for name, (process, due) in list(self._leaving.items()):
            if due <= now:
                self._leaving[name] = (process, float("inf"))
                process.send(signal.SIGKILL)

    def due(self) -> list[float]:
        """The instants at which `tick` does something."""
        instants = [due for _, due in (*self._trials.values(), *self._leaving.values())]
        return [due for due in instants if due != float("inf")]

    def _settle(self, name: str, fault: str = "", *, but: _Errand | None = None) -> None:
        for errand in list(self._errands):
            if errand is not but:
                errand.settle(name, fault)
        self._forget_finished()

    def _forget_finished(self) -> None:
        self._errands = [errand for errand in self._errands if errand.waits_for]
