# SPDX-License-Identifier: Apache-2.0
"""Watch: which process is started, awaited, started again and ended, and when.

It decides and does no input or output of its own: events come in as calls, time from a clock.
"""

from __future__ import annotations

import enum
import os
import signal
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from gateway.supervisor.child import Child, Kind, Process, reason
from gateway.supervisor.workforce import Workforce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

BAD_INPUT: Final = 2
# A process may be shot by chance while it starts, but not this often.
DEATHS_AT_START: Final = 3

IN_ORDER: Final = tuple((kind,) for kind in Kind)
AT_ONCE: Final = (tuple(Kind),)


class Phase(enum.Enum):
    """Where the whole stands; it only ever moves on."""

    STARTING = enum.auto()
    SERVING = enum.auto()
    STOPPING = enum.auto()
    STOPPED = enum.auto()


class Reports(Protocol):
    """What the world is told of."""

    def ready(self) -> None:
        """Every process has said that it is ready, for the first time."""
        ...

    def restarting(self, child: Child, why: str, seconds: float) -> None:
        """*child* ended because of *why* and is started again in *seconds*."""
        ...

    def ended(self, child: Child) -> None:
        """The process of *child* is gone, however it went and whatever follows."""
        ...

    def stopping(self) -> None:
        """No new request is to come in: the gateways are about to be told."""
        ...

    def fault(self, message: str) -> None:
        """Something ended in a way that the operator has to know of."""
        ...


class Watch:
    """The life of all *processes* together, from the first start to the last end.

    *grace* is the time in seconds that gateways take to finish what they have, *patience* what
    any process gets to end beyond that, *start_timeout* that for all to become ready. *code* is
    the exit code of the whole, set once nothing runs any more: 0 after a clean end, 1 where a
    process had to be killed or never became ready, 2 where one refused what it was given.
    *workforce* changes which workers there are while all this goes on.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        reports: Reports,
        *,
        grace: float = 30.0,
        patience: float = 5.0,
        start_timeout: float = 60.0,
        echo: float = 0.25,
        clock: Callable[[], float] = monotonic,
        hire: Callable[[Child], Process] = Process,
    ) -> None:
        self.processes = list(processes)
        self.workforce = Workforce(
            self.processes,
            clock=clock,
            patience=start_timeout,
            grace=grace + patience,
            hire=hire,
        )
        self.phase = Phase.STARTING
        self.code: int | None = None
        self._reports = reports
        self._grace = grace
        self._patience = patience
        self._start_timeout = start_timeout
        self._echo = echo
        self._asked = 0.0
        self._clock = clock
        self._deadline: float | None = None
        self._steps: list[tuple[Kind, ...]] = []
        self._ended_kinds: set[Kind] = set()
        self._outcome = 0
        self._deaths: dict[str, int] = {}
        self._reload_due = False

    def __repr__(self) -> str:
        return f"<Watch {self.phase.name} {list(self.processes)}>"

    def begin(self) -> None:
        """Start everything at once."""
        self._deadline = self._clock() + self._start_timeout
        for process in self.processes:
            if self.phase is Phase.STARTING:
                self._start(process)

    def became_ready(self) -> None:
        """A process said that it is ready."""
        if self.phase is Phase.STARTING and all(each.ready for each in self.processes):
            self.phase = Phase.SERVING
            self._deadline = None
            self._reports.ready()
        self.workforce.became_ready()
        self._pass_reload_on()

    def reload(self) -> None:
        """Have the control process load the configuration anew, as soon as there is one."""
        self._reload_due = True
        self._pass_reload_on()

    def _pass_reload_on(self) -> None:
        if not self._reload_due or self.phase is not Phase.SERVING:
            return
        for process in self.processes:
            # Before it is ready the signal would end it.
            if process.child.kind is Kind.CONTROL and process.ready:
                self._reload_due = False
                process.send(signal.SIGHUP)

    def ended(self, process: Process, status: int) -> None:
        """*process* ended with the wait status *status*."""
        seconds = process.ended(status)
        self._reports.ended(process.child)
        gone = self.workforce.ended(process, status)
        if process.child.kind in self._ended_kinds:
            self._advance()
            return
        if gone:
            return
        why = reason(status)
        if self.phase is Phase.STARTING and self._is_hopeless(process.child, why, status):
            return
        self._again(process, why, seconds)

    def drain(self) -> None:
        """End everything in order, or, if that is under way already, at once and hard.

        A second request within *echo* seconds is the first one again: what started us may pass
        the signal on to us and to our whole process group.
        """
        if self.phase in {Phase.STARTING, Phase.SERVING}:
            self._asked = self._clock()
            self._stop(IN_ORDER)
        elif self.phase is Phase.STOPPING and self._clock() - self._asked >= self._echo:
            self._steps.clear()
            self._ended_kinds.update(Kind)
            self._kill(self.processes, "killed, as a second signal asked")
            self._advance()

    def tick(self) -> None:
        """Do what is due by now: restarts, and what follows when time is up."""
        now = self._clock()
        self.workforce.tick()
        for process in self.processes:
            if process.restart_at is not None and process.restart_at <= now:
                self._start(process)
        if self._deadline is None or now < self._deadline:
            return
        self._deadline = None
        if self.phase is Phase.STARTING:
            late = ", ".join(each.child.name for each in self.processes if not each.ready)
            self._fail(1, f"not ready after {self._start_timeout:g} s: {late}")
        elif self.phase is Phase.STOPPING:
            self._kill(self._running(), "did not end in time: killed")

    def due(self) -> float | None:
        """The instant of the next `tick` that does something, None if only an event can."""
        instants = self.workforce.due()
        instants += [each.restart_at for each in self.processes if each.restart_at is not None]
        if self._deadline is not None:
            instants.append(self._deadline)
        return min(instants, default=None)

    def _start(self, process: Process) -> None:
        try:
            process.start()
        except OSError as error:
            why = f"{process.child.argv[0]}: {error.strerror}"
            if self.phase is Phase.STARTING:
                self._fail(1, f"{process.child.name} cannot be started: {why}")
            else:
                self._again(process, why, process.backoff.delay(served=0.0))

    def _again(self, process: Process, why: str, seconds: float) -> None:
        process.restart_at = self._clock() + seconds
        self._reports.restarting(process.child, why, seconds)

    def _is_hopeless(self, child: Child, why: str, status: int) -> bool:
        """Give up the whole start for how *child* ended; a signal may have been bad luck."""
        code = os.waitstatus_to_exitcode(status)
        if code == BAD_INPUT:
            self._fail(BAD_INPUT, None)  # the process has said on stderr what was wrong
            return True
        self._deaths[child.name] = self._deaths.get(child.name, 0) + 1
        if code < 0 and self._deaths[child.name] < DEATHS_AT_START:
            return False
        self._fail(1, f"{child.name} ended before it was ready: {why}")
        return True

    def _fail(self, outcome: int, message: str | None) -> None:
        if message is not None:
            self._reports.fault(message)
        self._outcome = outcome
        self._stop(AT_ONCE)

    def _stop(self, steps: Sequence[tuple[Kind, ...]]) -> None:
        self.phase = Phase.STOPPING
        self._steps = list(steps)
        self._reports.stopping()
        self._advance()

    def _advance(self) -> None:
        """Go on to the next kinds to end, if none of the last ones runs any more."""
        while not self._running():
            if not self._steps:
                self.phase = Phase.STOPPED
                self._deadline = None
                self.code = self._outcome
                return
            kinds = self._steps.pop(0)
            self._ended_kinds.update(kinds)
            grace = self._grace if kinds == (Kind.GATEWAY,) else 0.0
            self._deadline = self._clock() + grace + self._patience
            for process in self.processes:
                if process.child.kind in kinds:
                    process.restart_at = None
                    process.send(signal.SIGTERM)

    def _running(self) -> list[Process]:
        """What was told to end and has not."""
        return [
            each for each in self.processes if each.pid and each.child.kind in self._ended_kinds
        ]

    def _kill(self, processes: Iterable[Process], why: str) -> None:
        self._outcome = self._outcome or 1
        for process in processes:
            process.restart_at = None
            if process.pid:
                self._reports.fault(f"{process.child.name} {why}")
                process.send(signal.SIGKILL)
