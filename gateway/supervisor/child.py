# SPDX-License-Identifier: Apache-2.0
"""Child: what to start, and Process: one child, from the first start to the last."""

from __future__ import annotations

import enum
import os
import signal
import subprocess
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.supervisor.backoff import Backoff
from gateway.wire.process import MOST_SAID, PARENT, READY, READY_FD, socket_variable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NUMBERED: Final = {int(number): number.name for number in signal.Signals}


class Kind(enum.StrEnum):
    """The three kinds, in the order in which they are ended.

    A worker outlives the gateways, whose last requests it answers; the control process outlives
    both, so that what happens until then can be looked at.
    """

    GATEWAY = "gateway"
    WORKER = "worker"
    CONTROL = "control"


@dataclass(frozen=True)
class Child:
    """One process to run: *env* is added to the environment, *sockets* is handed down.

    *sockets* are pairs of the name that the program asks for and the descriptor behind it.
    """

    name: str
    kind: Kind
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    sockets: tuple[tuple[str, int], ...] = ()


def reason(status: int) -> str:
    """The name of what ended a process, from a wait status: ``SIGKILL`` or ``exit-1``."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return NUMBERED.get(-code, f"signal-{-code}")
    return f"exit-{code}"


class Process:
    """A child and its present process, if it has one; *pid* is 0 between two of them.

    *ready_fd* is the end to read of the pipe on which the present process says that it is ready,
    -1 once that is read. *restart_at* is the instant (of *clock*) of the next start, if one is due.
    *complaint* is what a process that cannot serve has said of why.
    """

    def __init__(
        self,
        child: Child,
        *,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.child = child
        self.backoff = backoff or Backoff()
        self.pid = 0
        self.ready = False
        self.ready_fd = -1
        self.restart_at: float | None = None
        self.complaint = ""
        self._clock = clock
        self._ready_at: float | None = None
        self._popen: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        state = "ready" if self.ready else "starting" if self.pid else "down"
        return f"<Process {self.child.name} {state} pid={self.pid}>"

    def start(self) -> None:
        """Start the program in a process group of its own.

        An interrupt typed at a terminal then reaches the supervisor alone, which ends the others
        in order. Raises OSError where the program cannot be started.
        """
        ready_fd, announce_fd = os.pipe()
        environment = {
            **os.environ,
            **self.child.env,
            PARENT: str(os.getpid()),
            READY_FD: str(announce_fd),
            **{socket_variable(name): str(fd) for name, fd in self.child.sockets},
        }
        try:
            popen = subprocess.Popen(
                self.child.argv,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=(announce_fd, *(fd for _, fd in self.child.sockets)),
                process_group=0,
            )
        except OSError:
            os.close(ready_fd)
            raise
        finally:
            os.close(announce_fd)
        self._popen = popen
        self.pid = popen.pid
        self.ready = False
        self.ready_fd = ready_fd
        self.complaint = ""
        self.restart_at = None
        self._ready_at = None

    def read_ready(self) -> bool:
        """Take what the process wrote to its pipe; True if it said that it is ready."""
        said = os.read(self.ready_fd, MOST_SAID)
        self._close_ready()
        self.ready = said == READY
        self.complaint = "" if self.ready else said.decode(errors="replace")
        if self.ready:
            self._ready_at = self._clock()
        return self.ready

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the present process, if there is one."""
        if self.pid:
            os.kill(self.pid, number)

    def ended(self, status: int) -> float:
        """Note that the present process is gone; gives the seconds to wait before the next start.

        The caller has reaped it and decides whether there is a next start.
        """
        if self._popen is not None:
            # Told, since it did not reap the process itself and would warn about that.
            self._popen.returncode = os.waitstatus_to_exitcode(status)
        self._popen = None
        self.pid = 0
        self.ready = False
        self._close_ready()
        served = 0.0 if self._ready_at is None else self._clock() - self._ready_at
        return self.backoff.delay(served=served)

    def _close_ready(self) -> None:
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
            self.ready_fd = -1
