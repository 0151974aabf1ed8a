# SPDX-License-Identifier: Apache-2.0
"""Events: what processes under test report, received in the order in which it happened."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

# No event takes this long; a test that waits for it has failed.
PATIENCE = 30.0


def wait_gone(pidfd: int) -> bool:
    """Wait until the process behind *pidfd* has ended; False if it still runs after a while."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(PATIENCE * 1000))


class Household(AbstractContextManager["Household"]):
    """A supervisor over stand-ins, in processes of their own; all are killed at the end.

    *members* are ``NAME:KIND:MANNER`` as `tests.support.household` takes them; *grace* in seconds.
    """

    def __init__(self, *members: str, grace: float = 30.0) -> None:
        self._directory = tempfile.TemporaryDirectory()
        path = Path(self._directory.name) / "events"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE)
        self.pids: dict[str, int] = {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.household", *members],
            env={**os.environ, "EVENTS": str(path), "GRACE": str(grace)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()  # the stand-ins die with it
        self.process.communicate()
        self._socket.close()
        self._directory.cleanup()

    def next(self) -> str:
        """The next event as ``NAME EVENT``; the pid behind it is kept in *pids*."""
        name, event, pid = self._socket.recv(4096).decode().split(" ")
        self.pids[name] = int(pid)
        return f"{name} {event}"

    def take(self, count: int) -> list[str]:
        """The next *count* events."""
        return [self.next() for _ in range(count)]

    def send(self, number: signal.Signals, to: str = "supervisor") -> None:
        """Send a signal to the process that last reported as *to*."""
        os.kill(self.pids.get(to, self.process.pid), number)

    def ends(self) -> tuple[int, str]:
        """Wait for the supervisor to end: its exit code and what all wrote to stderr."""
        _, said = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said
